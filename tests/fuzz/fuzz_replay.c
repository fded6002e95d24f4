/* fuzz_replay.c: runs a fuzz target over every file of a folder without libFuzzer, and over each file cut at
 * every length, unless --whole says otherwise. Each input lies in a block of exactly its size. Fails when the
 * folder has no file: an empty corpus proves nothing. */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define INPUT_BYTES_MAX 65536
#define PATH_BYTES_MAX  4096

static void run(const uint8_t *bytes, size_t n)
{
    uint8_t *exact = malloc(n > 0 ? n : 1);
    if (exact == NULL) abort();
    memcpy(exact, bytes, n);
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
}

static bool replay(const char *path, bool cuts)
{
    static uint8_t bytes[INPUT_BYTES_MAX];
    FILE *file = fopen(path, "rb");
    if (file == NULL) return false;
    size_t n = fread(bytes, 1, sizeof bytes, file);
    bool whole = feof(file) && !ferror(file);
    fclose(file);
    for (size_t cut = cuts ? 0 : n; whole && cut <= n; cut++)
        run(bytes, cut);
    return whole;
}

/* How many files were replayed, or -1. */
static int replay_folder(const char *folder, bool cuts)
{
    char path[PATH_BYTES_MAX];
    int files = 0;
    DIR *dir = opendir(folder);
    if (dir == NULL) return -1;
    for (struct dirent *entry = readdir(dir); entry != NULL && files >= 0; entry = readdir(dir)) {
        if (entry->d_name[0] == '.') continue;
        int length = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        bool ok = length > 0 && (size_t)length < sizeof path && replay(path, cuts);
        if (!ok) fprintf(stderr, "%s: can't be read whole\n", path);
        files = ok ? files + 1 : -1;
    }
    closedir(dir);
    return files;
}

int main(int argc, char **argv)
{
    bool whole = argc == 3 && strcmp(argv[1], "--whole") == 0;
    if (argc != 2 + whole) {
        fprintf(stderr, "usage: %s [--whole] FOLDER\n", argv[0]);
        return 2;
    }
    const char *folder = argv[1 + whole];
    int files = replay_folder(folder, !whole);
    printf("%s: %d inputs\n", folder, files);
    return files > 0 ? 0 : 1;
}
