/* neigh_prop_test.c: random operations on a neighbour table: the same as the model's, and nothing broken in a
 * full one. */
#include "link/neigh_rig.h"

/* The model: the table of neigh_arp.c written down again, without lists, hash or bounds. */
static struct model {
    uint8_t state, tries;
    uint32_t when;
} model[BIG];

static void model_set(struct model *m, enum weir_neigh_state s, uint32_t ms)
{
    m->state = (uint8_t)s;
    m->when = r.now + ms;
}

static void model_ask(struct model *m, enum weir_neigh_state s)
{
    m->tries = 1;
    model_set(m, s, WEIR_NEIGH_RETRY_MS);
}

static void model_due(struct model *m)
{
    if (m->state == WEIR_NEIGH_NONE || weir_seq_lt(r.now, m->when)) return;
    bool asking = m->state == WEIR_NEIGH_INCOMPLETE || m->state == WEIR_NEIGH_PROBE;
    if (asking && m->tries < WEIR_NEIGH_TRIES) {
        m->tries++;
        m->when = r.now + WEIR_NEIGH_RETRY_MS;
    } else if (m->state == WEIR_NEIGH_INCOMPLETE) {
        model_set(m, WEIR_NEIGH_FAILED, WEIR_NEIGH_FAILED_MS);
    } else if (m->state == WEIR_NEIGH_REACHABLE) {
        model_set(m, WEIR_NEIGH_STALE, WEIR_NEIGH_STALE_MS);
    } else {
        m->state = WEIR_NEIGH_NONE;
    }
}

static void model_heard(struct model *m, bool answer, bool to_us)
{
    if (answer && (m->state == WEIR_NEIGH_INCOMPLETE || m->state == WEIR_NEIGH_PROBE))
        model_set(m, WEIR_NEIGH_REACHABLE, WEIR_NEIGH_REACHABLE_MS);
    else if (m->state == WEIR_NEIGH_INCOMPLETE || m->state == WEIR_NEIGH_FAILED ||
             (m->state == WEIR_NEIGH_NONE && to_us))
        model_set(m, WEIR_NEIGH_STALE, WEIR_NEIGH_STALE_MS);
}

static void step_resolve(uint32_t ip, struct model *m)
{
    enum weir_send want = WEIR_SEND_OK;
    if (m->state == WEIR_NEIGH_NONE || m->state == WEIR_NEIGH_INCOMPLETE) want = WEIR_SEND_WAIT_NEIGH;
    if (m->state == WEIR_NEIGH_FAILED) want = WEIR_SEND_NO_NEIGH;
    if (m->state == WEIR_NEIGH_NONE) model_ask(m, WEIR_NEIGH_INCOMPLETE);
    if (m->state == WEIR_NEIGH_STALE) model_ask(m, WEIR_NEIGH_PROBE);
    assert_int_equal(resolve(ip), want);
}

static void step_tick(uint64_t *seed)
{
    uint32_t most = zfixture_random(seed, 4) == 0 ? 100000 : 1500;
    uint32_t next;
    r.now += zfixture_random(seed, most);
    for (uint32_t i = 0; i < BIG / 2; i++)
        model_due(&model[i]);
    while (tick(&next) && weir_seq_leq(next, r.now))
        ;
}

static void step(uint64_t *seed, struct weir_zhead *payload)
{
    uint32_t i = zfixture_random(seed, BIG / 2);
    uint32_t ip = 0x0a090100 + i;
    struct model *m = &model[i];
    switch (zfixture_random(seed, 7)) {
    case 0:
    case 1:
        step_resolve(ip, m);
        break;
    case 2:
        if (m->state == WEIR_NEIGH_INCOMPLETE) queue(ip, payload, (uint8_t)i);
        break;
    case 3:
        model_heard(m, true, false);
        input_own(WEIR_ARP_REPLY, ip, OUR_IP);
        break;
    case 4:
        model_heard(m, false, true);
        input_own(WEIR_ARP_REQUEST, ip, OUR_IP);
        break;
    case 5:
        if (m->state == WEIR_NEIGH_STALE || m->state == WEIR_NEIGH_REACHABLE || m->state == WEIR_NEIGH_PROBE)
            model_set(m, WEIR_NEIGH_REACHABLE, WEIR_NEIGH_REACHABLE_MS);
        weir_neigh_confirm(&r.n, ip, r.now);
        break;
    default:
        step_tick(seed);
        break;
    }
}

static void behaves_like_the_model(void **state)
{
    (void)state;
    uint64_t seed = zfixture_seed();
    struct weir_zhead *payload = payload_new();
    memset(model, 0, sizeof(model));
    for (int i = 0; i < 20000; i++) {
        step(&seed, payload);
        for (uint32_t k = 0; k < BIG / 2; k++)
            assert_int_equal(state_of(0x0a090100 + k), model[k].state);
    }
    weir_neigh_close(&r.n);
    payload_done(payload);
}

/* Under pressure, from all sides: nothing but the invariants. */
static void survives_a_full_table(void **state)
{
    (void)state;
    uint64_t seed = zfixture_seed();
    struct weir_zhead *payload = payload_new();
    r.room_lacked = true;
    for (int i = 0; i < 20000; i++) {
        uint32_t ip = 0x0a090100 + zfixture_random(&seed, 40), next;
        r.d.room = zfixture_random(&seed, 10) == 0 ? 0 : 1000;
        switch (zfixture_random(&seed, 5)) {
        case 0:
            resolve(ip);
            break;
        case 1:
            if (resolve(ip) == WEIR_SEND_WAIT_NEIGH) queue(ip, payload, 1);
            break;
        case 2:
            input_own(WEIR_ARP_REPLY, ip, OUR_IP);
            break;
        case 3:
            input_own(WEIR_ARP_REQUEST, ip, OUR_IP);
            break;
        default:
            r.now += zfixture_random(&seed, 2000);
            tick(&next);
            break;
        }
        if (i % 16 == 0) sent();
    }
    r.d.room = 1000;
    weir_neigh_close(&r.n);
    payload_done(payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LARGE(behaves_like_the_model),
        SMALL(survives_a_full_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
