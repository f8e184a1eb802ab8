# Why an instruction failed, until that is recorded (faults.pxi).

cdef struct Failure:
    FaultRecord record
    Str operand


cdef bint fail(Failure* failure, int code) noexcept nogil:
    memset(failure, 0, sizeof(Failure))
    failure.record.code = code
    return False


cdef bint fail_with(Failure* failure, int code, Str operand) noexcept nogil:
    fail(failure, code)
    failure.operand = operand
    return False


cdef bint fail_conversion(Failure* failure, int code, Str operand, bint wrapped) noexcept nogil:
    """`wrapped`: the program asked for the conversion, and mtail wraps the error then."""
    fail_with(failure, code, operand)
    failure.record.wrapped = wrapped
    return False


cdef bint fail_numbers(Failure* failure, int code, int64_t x, int64_t y) noexcept nogil:
    fail(failure, code)
    failure.record.x = x
    failure.record.y = y
    return False


cdef bint fail_number(Failure* failure, int code, double x) noexcept nogil:
    fail(failure, code)
    memcpy(&failure.record.x, &x, sizeof(double))
    return False
