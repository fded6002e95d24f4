#include "docroot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RETRIES  4 /* of a resolution that a rename elsewhere has disturbed: openat2 says EAGAIN */
#define FLAGS    (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
#define PART_MAX 256 /* NAME_MAX and the zero */

/* Where the kernel or a filter does not know openat2: one component after the other, stricter than that call,
 * since it follows no symbolic link and goes up nowhere. */
static int walk_beneath(int root, const char *path, uint64_t *calls)
{
    char part[PART_MAX];
    int at = root;
    for (;;) {
        size_t n = strcspn(path, "/");
        bool last = path[n + strspn(path + n, "/")] == '\0';
        if (n >= sizeof(part) || (n == 2 && memcmp(path, "..", 2) == 0)) {
            if (at != root) close(at);
            errno = n >= sizeof(part) ? ENAMETOOLONG : EXDEV;
            return -1;
        }
        memcpy(part, n ? path : ".", n ? n : 1);
        part[n ? n : 1] = '\0';
        ++*calls;
        int fd = openat(at, part, FLAGS | O_NOFOLLOW | (last && path[n] == '\0' ? 0 : O_DIRECTORY));
        int error = errno;
        if (at != root) close(at);
        errno = error;
        if (fd < 0 || last) return fd;
        at = fd;
        path += n + strspn(path + n, "/");
    }
}

static int open_beneath(int root, const char *path, uint64_t *calls)
{
    struct open_how how = {.flags = FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd = -1;
    for (int i = 0; i < RETRIES; i++) {
        ++*calls;
        fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) break;
    }
    /* EPERM comes from filters older than the call, as of containers. */
    if (fd < 0 && (errno == ENOSYS || errno == EPERM)) return walk_beneath(root, path, calls);
    return (int)fd;
}

int weir_docroot_open(const char *path, char *why, size_t bytes)
{
    int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        snprintf(why, bytes, "--root %s: %s", path, strerror(errno));
        return -1;
    }
    return root;
}

static int status_of(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
        return 404;
    case EACCES:
    case EPERM:
    case EXDEV: /* leads out of the root */
    case ELOOP:
    case ENXIO: /* a socket, or a pipe without a reader */
        return 403;
    case EAGAIN:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return 503;
    default:
        return 500;
    }
}

struct weir_file_key weir_file_key_of(const struct stat *st)
{
    struct weir_file_key key = {
        .dev = (uint64_t)st->st_dev,
        .ino = (uint64_t)st->st_ino,
        .mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
        .ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec,
        .size = (uint64_t)st->st_size,
    };
    return key;
}

bool weir_file_key_same(const struct weir_file_key *a, const struct weir_file_key *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns &&
           a->size == b->size;
}

void weir_file_close(struct weir_file *f)
{
    if (f->fd >= 0) close(f->fd);
    f->fd = -1;
}

/* Opens and looks at one path. 0 for a regular file, 301 for a folder (left open in file->fd), else a status.
 */
static int open_one(int at, const char *path, struct weir_file *file, uint64_t *calls)
{
    struct stat st;
    file->fd = open_beneath(at, path, calls);
    if (file->fd < 0) return status_of(errno);
    ++*calls;
    int status = fstat(file->fd, &st) != 0 ? status_of(errno) : 0;
    if (status == 0 && S_ISDIR(st.st_mode)) return 301;
    if (status == 0 && !S_ISREG(st.st_mode)) status = 403;
    if (status != 0) {
        weir_file_close(file);
        return status;
    }
    file->key = weir_file_key_of(&st);
    return 0;
}

int weir_docroot_file(int root, const char *path, struct weir_file *file, const char **type_path,
                      uint64_t *calls)
{
    size_t n = strlen(path);
    *type_path = path;
    int status = open_one(root, path, file, calls);
    if (status != 301) return status;
    int folder = file->fd;
    file->fd = -1;
    if (path[n - 1] == '/' || strcmp(path, ".") == 0) {
        *type_path = "index.html";
        /* RESOLVE_BENEATH is about the folder now, which lies within the root: stricter, never laxer. */
        status = open_one(folder, "index.html", file, calls);
        if (status == 301) {
            weir_file_close(file);
            status = 404;
        }
    }
    close(folder);
    ++*calls;
    return status;
}
