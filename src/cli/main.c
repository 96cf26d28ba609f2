#include <stdio.h>

int main(void)
{
    (void)puts("oneday");
    return 0;
}
