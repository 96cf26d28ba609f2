/**
 * @file
 * Functions that have no place in this program: using one is a compile error. Included before
 * every source file by the build.
 */
#ifndef OD_BASE_BANNED_H
#define OD_BASE_BANNED_H

// The C library's headers come first, so that their own declarations stay untouched.
#include <setjmp.h>  // IWYU pragma: keep
#include <stdio.h>   // IWYU pragma: keep
#include <stdlib.h>  // IWYU pragma: keep
#include <string.h>  // IWYU pragma: keep
#include <time.h>    // IWYU pragma: keep

// As git does it: a call expands to a name that does not exist.
#undef strcpy
#define strcpy(...) od_banned_function_strcpy
#undef strcat
#define strcat(...) od_banned_function_strcat
#undef strncpy
#define strncpy(...) od_banned_function_strncpy
#undef strncat
#define strncat(...) od_banned_function_strncat
#undef sprintf
#define sprintf(...) od_banned_function_sprintf
#undef vsprintf
#define vsprintf(...) od_banned_function_vsprintf
#undef gets
#define gets(...) od_banned_function_gets
#undef strtok
#define strtok(...) od_banned_function_strtok
#undef atoi
#define atoi(...) od_banned_function_atoi
#undef atol
#define atol(...) od_banned_function_atol
#undef atof
#define atof(...) od_banned_function_atof
#undef system
#define system(...) od_banned_function_system
#undef popen
#define popen(...) od_banned_function_popen
#undef tmpnam
#define tmpnam(...) od_banned_function_tmpnam
#undef rand
#define rand(...) od_banned_function_rand
#undef srand
#define srand(...) od_banned_function_srand
#undef localtime
#define localtime(...) od_banned_function_localtime
#undef gmtime
#define gmtime(...) od_banned_function_gmtime
#undef ctime
#define ctime(...) od_banned_function_ctime
#undef asctime
#define asctime(...) od_banned_function_asctime
#undef alloca
#define alloca(...) od_banned_function_alloca

#endif
