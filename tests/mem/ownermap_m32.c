/* ownermap_m32.c: a test program: the owner map against a naive list, compiled for a 32-bit machine. */
#include "mem/ownermap_model.h"

_Static_assert(sizeof(void *) == 4, "compiled by -m32");

int main(void)
{
    model_all("ownermap_m32", 120);
    return 0;
}
