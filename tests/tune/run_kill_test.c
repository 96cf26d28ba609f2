// Goal: a run that is killed at any moment, while it trains, evaluates, writes a checkpoint or exports,
// and killed again while it goes on, ends with the same bits, the same log and the same export; and so
// does one whose disk is full or whose memory is out at any moment.
// Method: a few points of each kind, others in each run of the test; all of them in run_kill_long_test.

#include <stdint.h>

#include "support.h"
#include "tune/run_points.h"

enum { POINTS = 6, OPERATIONS = 8, FAULTS = 8, ALLOCATIONS = 8 };

// So that about `count` of `all` are taken.
static uint64_t stride(uint64_t all, uint64_t count)
{
    return all / count + test_seed() % 7;
}

static void few_points(void **state)
{
    struct point_world world;
    (void)state;
    point_world_make(&world, /* on_gpu= */ false);
    points_of_time(&world, POINTS);
    points_of_operations(&world, stride(world.operations, OPERATIONS));
    points_of_export(&world);
    points_of_full_disk(&world, stride(world.operations, FAULTS));
    points_of_memory(&world, stride(world.allocations, ALLOCATIONS));
    point_world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(few_points)};
    return cmocka_run_group_tests_name("tune/run_kill", tests, NULL, NULL);
}
