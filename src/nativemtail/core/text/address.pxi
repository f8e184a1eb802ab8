# Addresses and the prefixes that contain them, for ip_in() (beyond README §10).

cdef enum:
    LONGEST_ADDRESS = 45            # bytes of an IPv6 address as text
    PREFIX_BYTES = 18               # of one packed by compiler/prefixes.py: length of address, of prefix, address


cdef size_t read_address(Str text, uint8_t* address) noexcept nogil:
    """Its bytes, 4 or 16; 0 if the text is no address.  ::ffff:10.0.0.1 is 10.0.0.1."""
    cdef char copy[LONGEST_ADDRESS + 1]
    cdef const char* zone = <const char*>memchr(text.p, 37, text.n) if text.n else NULL
    cdef size_t n = text.n if zone == NULL else zone - text.p
    if n > LONGEST_ADDRESS or n == 0 or n + 1 == text.n or memchr(text.p, 0, n) != NULL:
        return 0
    memcpy(copy, text.p, n)
    copy[n] = 0
    if memchr(copy, 58, n) == NULL:
        return 4 if inet_pton(AF_INET, copy, address) == 1 else 0
    if inet_pton(AF_INET6, copy, address) != 1:
        return 0
    if memcmp(address, b"\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) != 0:
        return 16
    memmove(address, address + 12, 4)
    return 4


cdef bint address_in(Str text, Str prefixes) noexcept nogil:
    cdef uint8_t address[16]
    cdef size_t n = read_address(text, address)
    cdef const uint8_t* prefix = <const uint8_t*>prefixes.p
    cdef const uint8_t* end = prefix + prefixes.n
    cdef size_t whole
    cdef int rest
    while n and prefix + PREFIX_BYTES <= end:
        if prefix[0] == n and prefix[1] <= 8 * n:
            whole = prefix[1] // 8
            rest = 8 - prefix[1] % 8
            if memcmp(prefix + 2, address, whole) == 0 and (
                    rest == 8 or (prefix[2 + whole] ^ address[whole]) >> rest == 0):
                return True
        prefix += PREFIX_BYTES
    return False
