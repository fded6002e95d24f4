/* verdict.h: what a stage of the receive pipeline and an attempt to send answer. No stage calls the layer
 * above. */
#ifndef WEIR_VERDICT_H
#define WEIR_VERDICT_H

/* Of a receive stage. */
enum weir_verdict {
    WEIR_V_PASS, /* the next stage is to go on */
    WEIR_V_DONE, /* used up; nothing to do */
    WEIR_V_DROP  /* dropped, and counted by the stage that says so */
};

/* Of an attempt to send. All but OK and WAIT_* are final for this packet. */
enum weir_send {
    WEIR_SEND_OK,
    WEIR_SEND_WAIT_NEIGH,  /* the neighbour is being asked for; try again when it has answered */
    WEIR_SEND_WAIT_ROOM,   /* the device has no room; try again after its next reap */
    WEIR_SEND_WAIT_HEADER, /* no header block is free; try again when one is */
    WEIR_SEND_NO_ROUTE,
    WEIR_SEND_NO_NEIGH /* the neighbour did not answer */
};

#endif
