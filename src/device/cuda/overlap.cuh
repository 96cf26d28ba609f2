/**
 * @file
 * Kernels of a stream that overlap: on capability 9.0 and above one that was launched with `overlaps`
 * (cuda.h) may begin before the one in front of it is done. It must wait before it reads what others
 * wrote or writes what others read; what it reads of memory that nobody writes, it may read before.
 * Where kernels do not overlap both lines do nothing.
 *
 * @source PTX ISA, griddepcontrol.
 */
#ifndef OD_DEVICE_CUDA_OVERLAP_CUH
#define OD_DEVICE_CUDA_OVERLAP_CUH

/** The kernel behind this one may begin as soon as all blocks of this one have come here. */
static __device__ __forceinline__ void od_let_next_begin(void)
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;\n" ::: "memory");
#endif
}

/** All kernels in front of this one are done, and what they wrote is seen. */
static __device__ __forceinline__ void od_wait_for_last(void)
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;\n" ::: "memory");
#endif
}

#endif
