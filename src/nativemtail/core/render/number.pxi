# Numbers for the formats that are written in Python.

def number(double value):
    return g_text(value).decode()
