/* consumer.c: the smallest program that includes every public header and calls the library. */
#include <stdio.h>

#include "weir/fault.h"
#include "weir/pair.h"
#include "weir/tap.h"
#include "weir/trace.h"
#include "weir/weir.h"

int main(void)
{
    puts(weir_strerror(WEIR_EAGAIN));
    return weir_errno(WEIR_OK);
}
