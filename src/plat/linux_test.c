/* linux_test.c: the platform under Linux. Waits have no limit where a wake or a readable handle must end
 * them: a failure shows as the test's time-out, not as a race with a clock. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "weir/err.h"
#include "weir/plat.h"

static int open_linux(void **state)
{
    static struct weir_linux l;
    *state = &l;
    return weir_linux_open(&l);
}

static int close_linux(void **state)
{
    weir_linux_close(*state);
    return 0;
}

static void clock_does_not_go_back(void **state)
{
    const struct weir_plat *p = &((struct weir_linux *)*state)->plat;
    uint64_t before = p->now_us(p->ctx);
    for (int i = 0; i < 1000; i++) {
        uint64_t now = p->now_us(p->ctx);
        assert_true(now >= before);
        before = now;
    }
}

static void entropy_fills_all(void **state)
{
    const struct weir_plat *p = &((struct weir_linux *)*state)->plat;
    uint8_t a[1000] = {0}, zero[16] = {0};
    assert_int_equal(p->entropy(p->ctx, a, sizeof a - 16), 0);
    for (size_t at = 0; at < 960; at += 16)
        assert_memory_not_equal(a + at, zero, sizeof zero);
    assert_memory_equal(a + sizeof a - 16, zero, sizeof zero);
}

static void a_wait_lasts_its_time(void **state)
{
    const struct weir_plat *p = &((struct weir_linux *)*state)->plat;
    uint64_t before = p->now_us(p->ctx);
    p->wait(p->ctx, 0);
    p->wait(p->ctx, 300);
    assert_true(p->now_us(p->ctx) - before >= 300);
}

static void wake_before_the_wait_is_kept_once(void **state)
{
    const struct weir_plat *p = &((struct weir_linux *)*state)->plat;
    for (int i = 0; i < 100; i++) {
        p->wake(p->ctx);
        if (i % 3 == 0) p->wake(p->ctx);
        p->wait(p->ctx, -1);
    }
    uint64_t before = p->now_us(p->ctx);
    p->wait(p->ctx, 300);
    assert_true(p->now_us(p->ctx) - before >= 300);
}

static void *wake_it(void *plat)
{
    const struct weir_plat *p = plat;
    p->wake(p->ctx);
    return NULL;
}

static void wake_from_another_thread(void **state)
{
    struct weir_plat *p = &((struct weir_linux *)*state)->plat;
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, wake_it, p), 0);
        p->wait(p->ctx, -1);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
}

static void readable_handle_ends_the_wait_while_it_is_watched(void **state)
{
    const struct weir_plat *p = &((struct weir_linux *)*state)->plat;
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(p->watch(p->ctx, fd[0], 1), 0);
    assert_int_equal(p->watch(p->ctx, fd[0], 1), WEIR_EBUSY);
    assert_int_equal(write(fd[1], "x", 1), 1);
    p->wait(p->ctx, -1);
    p->wait(p->ctx, -1); /* still readable */
    assert_int_equal(p->watch(p->ctx, fd[0], 0), 0);
    assert_int_equal(p->watch(p->ctx, fd[0], 0), WEIR_EINVAL);
    uint64_t before = p->now_us(p->ctx);
    p->wait(p->ctx, 300);
    assert_true(p->now_us(p->ctx) - before >= 300);
    close(fd[0]);
    close(fd[1]);
    assert_int_equal(p->watch(p->ctx, -1, 1), WEIR_EINVAL);
}

static void regular_file_cannot_be_watched(void **state)
{
    const struct weir_plat *p = &((struct weir_linux *)*state)->plat;
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(p->watch(p->ctx, fileno(file), 1), WEIR_ENOTSUP);
    fclose(file);
}

static void log_writes_one_line(void **state)
{
    const struct weir_plat *p = &((struct weir_linux *)*state)->plat;
    char got[32] = {0};
    int fd[2], saved = dup(STDERR_FILENO);
    assert_int_equal(pipe(fd), 0);
    assert_true(dup2(fd[1], STDERR_FILENO) >= 0);
    p->log(p->ctx, "pool low");
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    assert_int_equal(read(fd[0], got, sizeof got - 1), 9);
    assert_string_equal(got, "pool low\n");
    close(fd[0]);
    close(fd[1]);
    close(saved);
}

/* The lowest free descriptor tells whether any was left open. */
static int next_fd(void)
{
    int fd = open("/dev/null", O_RDONLY);
    close(fd);
    return fd;
}

static void no_descriptor_no_trace(void **state)
{
    struct weir_linux l;
    struct rlimit old, low;
    int lowest = next_fd();
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    for (rlim_t spare = 0; spare < 2; spare++) {
        low = old;
        low.rlim_cur = (rlim_t)lowest + spare;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        int err = weir_linux_open(&l);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        assert_int_equal(err, WEIR_EIO);
        assert_int_equal(next_fd(), lowest);
    }
    assert_int_equal(weir_linux_open(&l), 0);
    weir_linux_close(&l);
    weir_linux_close(&l);
    assert_int_equal(next_fd(), lowest);
}

#define LINUX_TEST(f) cmocka_unit_test_setup_teardown(f, open_linux, close_linux)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINUX_TEST(clock_does_not_go_back),
        LINUX_TEST(entropy_fills_all),
        LINUX_TEST(a_wait_lasts_its_time),
        LINUX_TEST(wake_before_the_wait_is_kept_once),
        LINUX_TEST(wake_from_another_thread),
        LINUX_TEST(readable_handle_ends_the_wait_while_it_is_watched),
        LINUX_TEST(regular_file_cannot_be_watched),
        LINUX_TEST(log_writes_one_line),
        cmocka_unit_test(no_descriptor_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
