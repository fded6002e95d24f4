/* tapns.h: a network namespace of the test's own, which goes away with its process. */
#ifndef WEIR_TAPNS_H
#define WEIR_TAPNS_H

/* Enters a new namespace, with TAP devices and without IPv6's own traffic. NULL, or why it can't be had here.
 * Called again it answers as before. */
const char *tapns_enter(void);

#endif
