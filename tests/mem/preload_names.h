/* preload_names.h: the library's calls under other names, for programs that are linked to it beside a malloc that has to
 * stay, a sanitizer's. Included before everything else, by the library and by the program. */
#ifndef PRELOAD_NAMES_H
#define PRELOAD_NAMES_H

#define malloc             renamed_malloc
#define calloc             renamed_calloc
#define realloc            renamed_realloc
#define reallocarray       renamed_reallocarray
#define free               renamed_free
#define aligned_alloc      renamed_aligned_alloc
#define posix_memalign     renamed_posix_memalign
#define memalign           renamed_memalign
#define valloc             renamed_valloc
#define pvalloc            renamed_pvalloc
#define malloc_usable_size renamed_malloc_usable_size
#define malloc_trim        renamed_malloc_trim

#endif
