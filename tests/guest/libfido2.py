"""libfido2 itself, by ctypes: its tools wait for ever, and the library need not."""

import ctypes
import os
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_void_p

_ES256 = -7
# The functions that are used: what each returns, and what it takes.
_FUNCTIONS = {
    "fido_init": (None, c_int),
    "fido_strerr": (c_char_p, c_int),
    "fido_dev_new": (c_void_p,),
    "fido_dev_free": (None, POINTER(c_void_p)),
    "fido_dev_set_timeout": (c_int, c_void_p, c_int),
    "fido_dev_open": (c_int, c_void_p, c_char_p),
    "fido_dev_close": (c_int, c_void_p),
    "fido_dev_cancel": (c_int, c_void_p),
    "fido_dev_get_assert": (c_int, c_void_p, c_void_p, c_char_p),
    "fido_assert_new": (c_void_p,),
    "fido_assert_free": (None, POINTER(c_void_p)),
    "fido_assert_set_rp": (c_int, c_void_p, c_char_p),
    "fido_assert_set_clientdata_hash": (c_int, c_void_p, c_char_p, c_size_t),
    "fido_assert_allow_cred": (c_int, c_void_p, c_char_p, c_size_t),
    "fido_assert_verify": (c_int, c_void_p, c_size_t, c_int, c_void_p),
    "es256_pk_new": (c_void_p,),
    "es256_pk_free": (None, POINTER(c_void_p)),
    "es256_pk_from_ptr": (c_int, c_void_p, c_char_p, c_size_t),
}
_lib = ctypes.CDLL("libfido2.so.1")
for _name, (_result, *_arguments) in _FUNCTIONS.items():
    getattr(_lib, _name).restype = _result
    getattr(_lib, _name).argtypes = _arguments
_lib.fido_init(0)


def sign_in(node, credential, limit_ms=1500):
    """Opens a key, gets an assertion and verifies it: the first status that is no success.

    After that it sends CANCEL, as a program does that has waited long enough.
    """
    device, public_key = _lib.fido_dev_new(), _lib.es256_pk_new()
    assertion = _lib.fido_assert_new()
    point = credential.public_key[-2] + credential.public_key[-3]  # x and y
    rp_id, challenge = credential.rp_id.encode(), os.urandom(32)
    steps = (
        (_lib.es256_pk_from_ptr, public_key, point, len(point)),
        (_lib.fido_assert_set_rp, assertion, rp_id),
        (_lib.fido_assert_set_clientdata_hash, assertion, challenge, len(challenge)),
        (_lib.fido_assert_allow_cred, assertion, credential.id, len(credential.id)),
        (_lib.fido_dev_set_timeout, device, limit_ms),
        (_lib.fido_dev_open, device, node.encode()),
        (_lib.fido_dev_get_assert, device, assertion, None),
        (_lib.fido_assert_verify, assertion, 0, _ES256, public_key),
    )
    try:
        code = 0
        for step, *arguments in steps:
            code = step(*arguments)
            if code:
                _lib.fido_dev_cancel(device)
                break
        return _lib.fido_strerr(code).decode()
    finally:
        _lib.fido_dev_close(device)
        _lib.fido_dev_free(byref(c_void_p(device)))
        _lib.fido_assert_free(byref(c_void_p(assertion)))
        _lib.es256_pk_free(byref(c_void_p(public_key)))
