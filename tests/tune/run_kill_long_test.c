// Goal: as run_kill_test.
// Method: 200 random times; every write, fsync, rename and removal of a run and every allocation.

#include "support.h"
#include "tune/run_points.h"

enum { POINTS = 200 };

static void random_times(void **state)
{
    struct point_world world;
    (void)state;
    point_world_make(&world, /* on_gpu= */ false);
    points_of_time(&world, POINTS);
    point_world_release(&world);
}

static void every_operation(void **state)
{
    struct point_world world;
    (void)state;
    point_world_make(&world, /* on_gpu= */ false);
    points_of_operations(&world, 1);
    points_of_export(&world);
    points_of_full_disk(&world, 1);
    point_world_release(&world);
}

static void allocations(void **state)
{
    struct point_world world;
    (void)state;
    point_world_make(&world, /* on_gpu= */ false);
    points_of_memory(&world, 1);
    point_world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_times),
                                       cmocka_unit_test(every_operation),
                                       cmocka_unit_test(allocations)};
    return cmocka_run_group_tests_name("tune/run_kill_long", tests, NULL, NULL);
}
