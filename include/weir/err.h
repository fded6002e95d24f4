/* err.h: every error that Weir returns, in one table: code, value, errno beside it, text.
 *
 * Success is >= 0, failure one of these negative values. Codes keep their values for ever; new ones are added
 * at the end. */
#ifndef WEIR_ERR_H
#define WEIR_ERR_H

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, value, errno's name, text) */
#define WEIR_ERR_MAP(X)                                                                                      \
    X(EINVAL, 1, EINVAL, "invalid argument")                                                                 \
    X(ENOMEM, 2, ENOMEM, "the pool that serves this request has no free memory now")                         \
    X(EAGAIN, 3, EAGAIN, "nothing can be done now, wait for the event")                                      \
    X(EFOREIGN, 4, EFAULT, "the address does not belong to this instance")                                   \
    X(EFAULT, 5, EFAULT, "the address lies in Weir's memory but not in a zbuf that the application holds")   \
    X(ERANGE, 6, ERANGE, "the bytes run past the end of their zbuf")                                         \
    X(ENOTHELD, 7, EPERM, "the application holds no reference to this zbuf")                                 \
    X(EOVERFLOW, 8, EOVERFLOW, "a reference count is at its limit")                                          \
    X(ESTALE, 9, EBADF, "the id names no open connection or listener")                                       \
    X(EPIPE, 10, EPIPE, "the sending side is closed")                                                        \
    X(ECONNRESET, 11, ECONNRESET, "the peer reset the connection")                                           \
    X(ECONNREFUSED, 12, ECONNREFUSED, "the peer refused the connection")                                     \
    X(ECONNABORTED, 13, ECONNABORTED, "the connection was aborted here")                                     \
    X(ETIMEDOUT, 14, ETIMEDOUT, "the peer did not answer in time")                                           \
    X(EHOSTUNREACH, 15, EHOSTUNREACH, "the host cannot be reached")                                          \
    X(ENETUNREACH, 16, ENETUNREACH, "no route to the network")                                               \
    X(EADDRINUSE, 17, EADDRINUSE, "the address and port are in use")                                         \
    X(EADDRNOTAVAIL, 18, EADDRNOTAVAIL, "the address is not one of this instance, or no port is left")       \
    X(ENOTCONN, 19, ENOTCONN, "the connection is not established")                                           \
    X(EISLISTEN, 20, EOPNOTSUPP, "the id names a listener")                                                  \
    X(EMFILE, 21, EMFILE, "the table of connections or listeners is full")                                   \
    X(EBUSY, 22, EBUSY, "in use")                                                                            \
    X(EPLAN, 23, EINVAL, "the configuration is refused, the plan says why")                                  \
    X(ENODEV, 24, ENODEV, "the device cannot be had")                                                        \
    X(EPERM, 25, EPERM, "the system does not permit it")                                                     \
    X(EIO, 26, EIO, "the device failed")                                                                     \
    X(ENOTSUP, 27, ENOTSUP, "not supported here")                                                            \
    X(EFREE, 28, EINVAL, "the block is free already")                                                        \
    X(EINTERIOR, 29, EINVAL, "the address is not the start of a block")                                      \
    X(ECORRUPT, 30, EFAULT, "the memory that describes the block was overwritten")                           \
    X(ESEALED, 31, EPERM, "the memory is sealed")

enum weir_err {
    WEIR_OK = 0,
#define WEIR_ERR_ENUM(name, value, eno, text) WEIR_##name = -(value),
    WEIR_ERR_MAP(WEIR_ERR_ENUM)
#undef WEIR_ERR_ENUM
};

/* The text of an error, in English, without a full stop; "success" for any value >= 0 and "unknown error" for
 * a value that is not in the table. Constant time; any context. The string is static. */
const char *weir_strerror(int err);

/* The errno value that stands beside err, 0 for err >= 0, EINVAL's value for one that is not in the table.
 * Values are those of the C library that Weir was built against; freestanding builds return 0. */
int weir_errno(int err);

#ifdef __cplusplus
}
#endif
#endif
