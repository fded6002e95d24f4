/* docroot_test.c: what can be opened beneath a root, and what can't, over real files. */
#include "docroot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

static char base[] = "/tmp/weir-docroot-XXXXXX";

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* base/secret, and base/root with files, folders and links of every kind. */
static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(base) == NULL || chdir(base) != 0) return -1;
    put("secret", "secret");
    if (mkdir("root", 0755) != 0 || chdir("root") != 0 || mkdir("sub", 0755) != 0 || mkdir("bare", 0755) != 0)
        return -1;
    put("index.html", "index");
    put("a.txt", "abc");
    put("sub/index.html", "subindex");
    if (mkdir("odd", 0755) != 0 || mkdir("odd/index.html", 0755) != 0) return -1;
    if (symlink("../secret", "out") != 0 || symlink("/etc/passwd", "absolute") != 0) return -1;
    if (symlink("a.txt", "inside") != 0 || symlink("loop", "loop") != 0 || symlink("..", "up") != 0)
        return -1;
    return mkfifo("pipe", 0644);
}

static int tear_down(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", base);
    return chdir("/") != 0 || system(command) != 0; /* NOLINT(cert-env33-c): a folder of our own making */
}

static void files(void **state)
{
    static const struct {
        const char *path;
        int status;
        uint64_t size;
        const char *type_path;
    } table[] = {
        {".", 0, 5, "index.html"},
        {"a.txt", 0, 3, "a.txt"},
        {"sub/../a.txt", 0, 3, "sub/../a.txt"},
        {"inside", 0, 3, "inside"},
        {"sub/", 0, 8, "index.html"},
        {"sub", 301, 0, NULL},
        {"bare/", 404, 0, NULL},
        {"odd/", 404, 0, NULL},
        {"nope", 404, 0, NULL},
        {"a.txt/", 404, 0, NULL},
        {"a.txt/x", 404, 0, NULL},
        {"../secret", 403, 0, NULL},
        {"sub/../../secret", 403, 0, NULL},
        {"..", 403, 0, NULL},
        {"../", 403, 0, NULL},
        {"/etc/passwd", 403, 0, NULL},
        {"out", 403, 0, NULL},
        {"absolute", 403, 0, NULL},
        {"up/secret", 403, 0, NULL},
        {"loop", 403, 0, NULL},
        {"pipe", 403, 0, NULL},
    };
    char why[200];
    uint64_t calls = 0;
    (void)state;
    int root = weir_docroot_open(".", why, sizeof(why));
    if (root < 0) skip(); /* a kernel or a filter without openat2 */
    int next = dup(root);
    close(next);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct weir_file f = {.fd = -1};
        const char *type_path;
        int status = weir_docroot_file(root, table[i].path, &f, &type_path, &calls);
        if (status != table[i].status) fail_msg("%s: %d", table[i].path, status);
        assert_int_equal(f.fd >= 0, status == 0);
        if (status == 0) {
            assert_int_equal(f.key.size, table[i].size);
            assert_string_equal(type_path, table[i].type_path);
        }
        weir_file_close(&f);
        int now = dup(root); /* no descriptor stays open, whatever happened */
        assert_int_equal(now, next);
        close(now);
    }
    assert_true(calls > 0);
    close(root);
}

static void roots(void **state)
{
    char why[200] = "";
    (void)state;
    assert_int_equal(weir_docroot_open("nope", why, sizeof(why)), -1);
    assert_string_equal(why, "--root nope: No such file or directory");
    assert_int_equal(weir_docroot_open("a.txt", why, sizeof(why)), -1);
    assert_string_equal(why, "--root a.txt: Not a directory");
}

static void keys(void **state)
{
    struct stat st;
    (void)state;
    assert_int_equal(stat("a.txt", &st), 0);
    struct weir_file_key a = weir_file_key_of(&st), b = a;
    assert_true(weir_file_key_same(&a, &b));
    b.mtime_ns++;
    assert_false(weir_file_key_same(&a, &b));
    b = a;
    b.ctime_ns++;
    assert_false(weir_file_key_same(&a, &b));
}

/* From here on this process has no openat2: it's refused as by the filters of older containers. */
static bool forbid_openat2(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/* The last test. Without openat2 no link is followed and nothing goes up. */
static void files_without_openat2(void **state)
{
    static const struct {
        const char *path;
        int status;
    } table[] = {{".", 0},           {"a.txt", 0},          {"sub/index.html", 0}, {"sub//index.html", 0},
                 {"sub/", 0},        {"sub", 301},          {"nope", 404},         {"a.txt/x", 404},
                 {"../secret", 403}, {"sub/../a.txt", 403}, {"out", 403},          {"inside", 403},
                 {"absolute", 403},  {"up/secret", 404},    {"pipe", 403}};
    char why[200];
    uint64_t calls = 0;
    (void)state;
    if (!forbid_openat2()) skip();
    int root = weir_docroot_open(".", why, sizeof(why));
    assert_true(root >= 0);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct weir_file f = {.fd = -1};
        const char *type_path;
        int status = weir_docroot_file(root, table[i].path, &f, &type_path, &calls);
        if (status != table[i].status) fail_msg("%s: %d", table[i].path, status);
        weir_file_close(&f);
    }
    close(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(files), cmocka_unit_test(roots),
                                       cmocka_unit_test(keys), cmocka_unit_test(files_without_openat2)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
