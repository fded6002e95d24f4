/* docroot.h: files beneath one folder, and no way out of it.
 *
 * The kernel resolves each path with openat2 and RESOLVE_BENEATH, so that "..", absolute links and links that
 * lead outside fail there, whatever they are written like and whoever changes them meanwhile; nothing is
 * compared as text. */
#ifndef WEIR_TOOLS_DOCROOT_H
#define WEIR_TOOLS_DOCROOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* What a file's bytes are known by: they are taken to be the same as long as these are. The time of the last
 * change of the inode stands in, since whoever writes can put the other back. */
struct weir_file_key {
    uint64_t dev, ino;
    int64_t mtime_ns, ctime_ns;
    uint64_t size;
};

struct weir_file {
    int fd; /* -1: none */
    struct weir_file_key key;
};

/* Opens the folder. Its descriptor, or -1 with one sentence in why. */
int weir_docroot_open(const char *path, char *why, size_t bytes);

/* Opens the file that `path` (relative, decoded) names beneath root, for a folder its index.html. *type_path
 * gets the path by which the file's type is to be told. Returns 0, or the HTTP status: 301 (a folder, named
 * without its last slash), 403, 404, 500, 503. *calls grows by the system calls made. */
int weir_docroot_file(int root, const char *path, struct weir_file *file, const char **type_path,
                      uint64_t *calls);

void weir_file_close(struct weir_file *);

struct weir_file_key weir_file_key_of(const struct stat *);
bool weir_file_key_same(const struct weir_file_key *, const struct weir_file_key *);

#endif
