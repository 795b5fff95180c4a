#include <libssh2.h>

// Callbacks are set as untyped pointers, by a function that 1.11 calls deprecated and 1.10 has alone.
typedef ssize_t (*cssh2_send_callback)(libssh2_socket_t socket, const void *bytes, size_t count, int flags, void **context);
static inline void cssh2_set_send(LIBSSH2_SESSION *session, cssh2_send_callback callback) {
    libssh2_session_callback_set(session, LIBSSH2_CALLBACK_SEND, (void *)callback);
}

// Whether the library that runs, which may be another than the one compiled against, signs and checks RSA with SHA-2: from 1.11 on.
static inline int cssh2_has_rsa_sha2(void) { return libssh2_version(0x010b00) != NULL; }
