// Goal: what this program writes down of NVIDIA's interfaces is what NVIDIA's headers say.
// Method: built only where those headers are; every number, size and offset is compared when this
// file is compiled, and the run says which headers they were.

#include <cuda.h>
#include <cudaTypedefs.h>
#include <stddef.h>
#include <stdio.h>

#if __has_include(<cublasLt.h>)
#include <cublasLt.h>
#define HAVE_LT 1
#else
#define HAVE_LT 0
#endif
#if __has_include(<nvml.h>)
#include <nvml.h>
#define HAVE_NVML 1
#else
#define HAVE_NVML 0
#endif

#include "device/cuda/driver_api.h"
#include "device/cuda/lt_api.h"
#include "device/cuda/nvml_api.h"
#include "support.h"

#define SAME(ours, theirs) _Static_assert((long long)(ours) == (long long)(theirs), #ours)
#define SAME_MEMBER(our_struct, ours, their_struct, theirs)                                    \
    _Static_assert(offsetof(our_struct, ours) == offsetof(their_struct, theirs) &&             \
                       sizeof(((our_struct *)0)->ours) == sizeof(((their_struct *)0)->theirs), \
                   #ours)

// The driver.
SAME(OD_CU_SUCCESS, CUDA_SUCCESS);
SAME(OD_CU_INVALID_VALUE, CUDA_ERROR_INVALID_VALUE);
SAME(OD_CU_OUT_OF_MEMORY, CUDA_ERROR_OUT_OF_MEMORY);
SAME(OD_CU_STUB_LIBRARY, CUDA_ERROR_STUB_LIBRARY);
SAME(OD_CU_DEVICE_UNAVAILABLE, CUDA_ERROR_DEVICE_UNAVAILABLE);
SAME(OD_CU_NO_DEVICE, CUDA_ERROR_NO_DEVICE);
SAME(OD_CU_INVALID_DEVICE, CUDA_ERROR_INVALID_DEVICE);
SAME(OD_CU_INVALID_IMAGE, CUDA_ERROR_INVALID_IMAGE);
SAME(OD_CU_NO_BINARY_FOR_GPU, CUDA_ERROR_NO_BINARY_FOR_GPU);
SAME(OD_CU_ECC_UNCORRECTABLE, CUDA_ERROR_ECC_UNCORRECTABLE);
SAME(OD_CU_INVALID_PTX, CUDA_ERROR_INVALID_PTX);
SAME(OD_CU_NVLINK_UNCORRECTABLE, CUDA_ERROR_NVLINK_UNCORRECTABLE);
SAME(OD_CU_JIT_COMPILER_NOT_FOUND, CUDA_ERROR_JIT_COMPILER_NOT_FOUND);
SAME(OD_CU_UNSUPPORTED_PTX_VERSION, CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
SAME(OD_CU_JIT_COMPILATION_DISABLED, CUDA_ERROR_JIT_COMPILATION_DISABLED);
SAME(OD_CU_NOT_FOUND, CUDA_ERROR_NOT_FOUND);
SAME(OD_CU_ILLEGAL_ADDRESS, CUDA_ERROR_ILLEGAL_ADDRESS);
SAME(OD_CU_LAUNCH_OUT_OF_RESOURCES, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
SAME(OD_CU_LAUNCH_TIMEOUT, CUDA_ERROR_LAUNCH_TIMEOUT);
SAME(OD_CU_ASSERT, CUDA_ERROR_ASSERT);
SAME(OD_CU_HARDWARE_STACK_ERROR, CUDA_ERROR_HARDWARE_STACK_ERROR);
SAME(OD_CU_ILLEGAL_INSTRUCTION, CUDA_ERROR_ILLEGAL_INSTRUCTION);
SAME(OD_CU_MISALIGNED_ADDRESS, CUDA_ERROR_MISALIGNED_ADDRESS);
SAME(OD_CU_INVALID_ADDRESS_SPACE, CUDA_ERROR_INVALID_ADDRESS_SPACE);
SAME(OD_CU_INVALID_PC, CUDA_ERROR_INVALID_PC);
SAME(OD_CU_LAUNCH_FAILED, CUDA_ERROR_LAUNCH_FAILED);
SAME(OD_CU_SYSTEM_NOT_READY, CUDA_ERROR_SYSTEM_NOT_READY);
SAME(OD_CU_SYSTEM_DRIVER_MISMATCH, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH);
SAME(OD_CU_COMPAT_NOT_SUPPORTED_ON_DEVICE, CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE);
SAME(OD_CU_UNKNOWN, CUDA_ERROR_UNKNOWN);
SAME(OD_CU_ATTR_MULTIPROCESSORS, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
SAME(OD_CU_ATTR_L2_BYTES, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
SAME(OD_CU_ATTR_CAPABILITY_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
SAME(OD_CU_ATTR_CAPABILITY_MINOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
SAME(OD_CU_ATTR_SHARED_BYTES_OPTIN, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
SAME(OD_CU_FUNC_PTX_VERSION, CU_FUNC_ATTRIBUTE_PTX_VERSION);
SAME(OD_CU_FUNC_DYNAMIC_SHARED_BYTES, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
SAME(OD_CU_STREAM_NON_BLOCKING, CU_STREAM_NON_BLOCKING);
SAME(OD_CU_EVENT_BLOCKING_SYNC, CU_EVENT_BLOCKING_SYNC);
SAME(OD_CU_CAPTURE_RELAXED, CU_STREAM_CAPTURE_MODE_RELAXED);
SAME(OD_CU_MEMORY_DEVICE, CU_MEMORYTYPE_DEVICE);
SAME(sizeof(int), sizeof(CUresult));
SAME(sizeof(int), sizeof(CUdevice));
SAME(sizeof(uint64_t), sizeof(CUdeviceptr));
SAME(sizeof(uint64_t), sizeof(cuuint64_t));
SAME(sizeof(struct od_cu_copy_2d), sizeof(CUDA_MEMCPY2D));
SAME_MEMBER(struct od_cu_copy_2d, from_x, CUDA_MEMCPY2D, srcXInBytes);
SAME_MEMBER(struct od_cu_copy_2d, from_y, CUDA_MEMCPY2D, srcY);
SAME_MEMBER(struct od_cu_copy_2d, from_kind, CUDA_MEMCPY2D, srcMemoryType);
SAME_MEMBER(struct od_cu_copy_2d, from_host, CUDA_MEMCPY2D, srcHost);
SAME_MEMBER(struct od_cu_copy_2d, from_device, CUDA_MEMCPY2D, srcDevice);
SAME_MEMBER(struct od_cu_copy_2d, from_array, CUDA_MEMCPY2D, srcArray);
SAME_MEMBER(struct od_cu_copy_2d, from_pitch, CUDA_MEMCPY2D, srcPitch);
SAME_MEMBER(struct od_cu_copy_2d, to_x, CUDA_MEMCPY2D, dstXInBytes);
SAME_MEMBER(struct od_cu_copy_2d, to_y, CUDA_MEMCPY2D, dstY);
SAME_MEMBER(struct od_cu_copy_2d, to_kind, CUDA_MEMCPY2D, dstMemoryType);
SAME_MEMBER(struct od_cu_copy_2d, to_host, CUDA_MEMCPY2D, dstHost);
SAME_MEMBER(struct od_cu_copy_2d, to_device, CUDA_MEMCPY2D, dstDevice);
SAME_MEMBER(struct od_cu_copy_2d, to_array, CUDA_MEMCPY2D, dstArray);
SAME_MEMBER(struct od_cu_copy_2d, to_pitch, CUDA_MEMCPY2D, dstPitch);
SAME_MEMBER(struct od_cu_copy_2d, width, CUDA_MEMCPY2D, WidthInBytes);
SAME_MEMBER(struct od_cu_copy_2d, rows, CUDA_MEMCPY2D, Height);
SAME(OD_CU_LAUNCH_OVERLAPS, CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION);
SAME(sizeof(struct od_cu_launch_attribute), sizeof(CUlaunchAttribute));
SAME_MEMBER(struct od_cu_launch_attribute, id, CUlaunchAttribute, id);
SAME_MEMBER(struct od_cu_launch_attribute, value, CUlaunchAttribute, value);
_Static_assert(offsetof(CUlaunchAttributeValue, programmaticStreamSerializationAllowed) == 0, "");
SAME(sizeof(struct od_cu_launch), sizeof(CUlaunchConfig));
SAME_MEMBER(struct od_cu_launch, grid_x, CUlaunchConfig, gridDimX);
SAME_MEMBER(struct od_cu_launch, grid_y, CUlaunchConfig, gridDimY);
SAME_MEMBER(struct od_cu_launch, grid_z, CUlaunchConfig, gridDimZ);
SAME_MEMBER(struct od_cu_launch, block_x, CUlaunchConfig, blockDimX);
SAME_MEMBER(struct od_cu_launch, block_y, CUlaunchConfig, blockDimY);
SAME_MEMBER(struct od_cu_launch, block_z, CUlaunchConfig, blockDimZ);
SAME_MEMBER(struct od_cu_launch, shared_bytes, CUlaunchConfig, sharedMemBytes);
SAME_MEMBER(struct od_cu_launch, stream, CUlaunchConfig, hStream);
SAME_MEMBER(struct od_cu_launch, attributes, CUlaunchConfig, attrs);
SAME_MEMBER(struct od_cu_launch, attribute_count, CUlaunchConfig, numAttrs);

#if HAVE_LT
SAME(OD_LT_SUCCESS, CUBLAS_STATUS_SUCCESS);
SAME(OD_LT_NOT_SUPPORTED, CUBLAS_STATUS_NOT_SUPPORTED);
SAME(OD_LT_OP_N, CUBLAS_OP_N);
SAME(OD_LT_OP_T, CUBLAS_OP_T);
SAME(OD_LT_COMPUTE_32F, CUBLAS_COMPUTE_32F);
SAME(OD_LT_R_32F, CUDA_R_32F);
SAME(OD_LT_R_16BF, CUDA_R_16BF);
SAME(OD_LT_R_8F_E4M3, CUDA_R_8F_E4M3);
SAME(OD_LT_DESC_TRANSA, CUBLASLT_MATMUL_DESC_TRANSA);
SAME(OD_LT_DESC_TRANSB, CUBLASLT_MATMUL_DESC_TRANSB);
SAME(OD_LT_DESC_EPILOGUE, CUBLASLT_MATMUL_DESC_EPILOGUE);
SAME(OD_LT_DESC_BIAS_POINTER, CUBLASLT_MATMUL_DESC_BIAS_POINTER);
SAME(OD_LT_DESC_BIAS_DATA_TYPE, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE);
SAME(OD_LT_DESC_A_SCALE_POINTER, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER);
SAME(OD_LT_DESC_B_SCALE_POINTER, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER);
SAME(OD_LT_DESC_FAST_ACCUM, CUBLASLT_MATMUL_DESC_FAST_ACCUM);
#if CUBLAS_VER_MAJOR * 100 + CUBLAS_VER_MINOR >= 1209  // enumerators cannot be asked for
SAME(OD_LT_DESC_A_SCALE_MODE, CUBLASLT_MATMUL_DESC_A_SCALE_MODE);
SAME(OD_LT_DESC_B_SCALE_MODE, CUBLASLT_MATMUL_DESC_B_SCALE_MODE);
SAME(OD_LT_SCALE_OUTER_VEC_32F, CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F);
#endif
SAME(OD_LT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_BIAS);
SAME(OD_LT_PREF_WORKSPACE_BYTES, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
SAME(OD_LT_PREF_REDUCTION_MASK, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK);
SAME(OD_LT_PREF_ALIGNMENT_A, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
SAME(OD_LT_PREF_ALIGNMENT_B, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES);
SAME(OD_LT_PREF_ALIGNMENT_C, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES);
SAME(OD_LT_PREF_ALIGNMENT_D, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);
SAME(OD_LT_REDUCTION_NONE, CUBLASLT_REDUCTION_SCHEME_NONE);
SAME(OD_LT_REDUCTION_COMPUTE_TYPE, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
SAME(sizeof(int), sizeof(cublasStatus_t));
SAME(sizeof(int), sizeof(cudaDataType));
SAME(sizeof(int), sizeof(cublasComputeType_t));
SAME(sizeof(int), sizeof(cublasLtMatmulDescAttributes_t));
SAME(sizeof(int), sizeof(cublasLtMatmulPreferenceAttributes_t));
SAME(sizeof(struct od_lt_algo), sizeof(cublasLtMatmulAlgo_t));
SAME_MEMBER(struct od_lt_algo, data, cublasLtMatmulAlgo_t, data);
SAME(sizeof(struct od_lt_heuristic), sizeof(cublasLtMatmulHeuristicResult_t));
SAME_MEMBER(struct od_lt_heuristic, algo, cublasLtMatmulHeuristicResult_t, algo);
SAME_MEMBER(struct od_lt_heuristic, workspace_bytes, cublasLtMatmulHeuristicResult_t,
            workspaceSize);
SAME_MEMBER(struct od_lt_heuristic, state, cublasLtMatmulHeuristicResult_t, state);
SAME_MEMBER(struct od_lt_heuristic, waves, cublasLtMatmulHeuristicResult_t, wavesCount);
SAME_MEMBER(struct od_lt_heuristic, reserved, cublasLtMatmulHeuristicResult_t, reserved);
#endif

#if HAVE_NVML
SAME(OD_NVML_SUCCESS, NVML_SUCCESS);
SAME(OD_NVML_TEMPERATURE_GPU, NVML_TEMPERATURE_GPU);
SAME(OD_NVML_CLOCK_SM, NVML_CLOCK_SM);
SAME(OD_NVML_VERSION_BYTES, NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE);
SAME(sizeof(int), sizeof(nvmlReturn_t));
SAME(sizeof(void *), sizeof(nvmlDevice_t));
SAME(sizeof(struct od_nvml_process), sizeof(nvmlProcessInfo_t));
SAME_MEMBER(struct od_nvml_process, pid, nvmlProcessInfo_t, pid);
SAME_MEMBER(struct od_nvml_process, bytes, nvmlProcessInfo_t, usedGpuMemory);
SAME_MEMBER(struct od_nvml_process, gpu_instance, nvmlProcessInfo_t, gpuInstanceId);
SAME_MEMBER(struct od_nvml_process, compute_instance, nvmlProcessInfo_t, computeInstanceId);
#endif

// Functions are asked for by plain names, at version 12.0. The forms that these mean then, by
// cudaTypedefs.h; it has no typedef for a name that the driver knows only in an older form.
typedef PFN_cuInit_v2000 form_cuInit;
typedef PFN_cuDriverGetVersion_v2020 form_cuDriverGetVersion;
typedef PFN_cuGetErrorName_v6000 form_cuGetErrorName;
typedef PFN_cuGetErrorString_v6000 form_cuGetErrorString;
typedef PFN_cuDeviceGetCount_v2000 form_cuDeviceGetCount;
typedef PFN_cuDeviceGet_v2000 form_cuDeviceGet;
typedef PFN_cuDeviceGetName_v2000 form_cuDeviceGetName;
typedef PFN_cuDeviceGetAttribute_v2000 form_cuDeviceGetAttribute;
typedef PFN_cuDeviceTotalMem_v3020 form_cuDeviceTotalMem;
typedef PFN_cuDeviceGetPCIBusId_v4010 form_cuDeviceGetPCIBusId;
typedef PFN_cuDevicePrimaryCtxRetain_v7000 form_cuDevicePrimaryCtxRetain;
typedef PFN_cuDevicePrimaryCtxRelease_v11000 form_cuDevicePrimaryCtxRelease;
typedef PFN_cuCtxSetCurrent_v4000 form_cuCtxSetCurrent;
typedef PFN_cuMemGetInfo_v3020 form_cuMemGetInfo;
typedef PFN_cuMemAlloc_v3020 form_cuMemAlloc;
typedef PFN_cuMemFree_v3020 form_cuMemFree;
typedef PFN_cuMemHostAlloc_v2020 form_cuMemHostAlloc;
typedef PFN_cuMemFreeHost_v2000 form_cuMemFreeHost;
typedef PFN_cuMemcpyHtoDAsync_v3020 form_cuMemcpyHtoDAsync;
typedef PFN_cuMemcpyDtoHAsync_v3020 form_cuMemcpyDtoHAsync;
typedef PFN_cuMemcpyDtoDAsync_v3020 form_cuMemcpyDtoDAsync;
typedef PFN_cuMemcpy2DAsync_v3020 form_cuMemcpy2DAsync;
typedef PFN_cuMemsetD8Async_v3020 form_cuMemsetD8Async;
typedef PFN_cuModuleLoadData_v2000 form_cuModuleLoadData;
typedef PFN_cuModuleUnload_v2000 form_cuModuleUnload;
typedef PFN_cuModuleGetFunction_v2000 form_cuModuleGetFunction;
typedef PFN_cuFuncGetAttribute_v2020 form_cuFuncGetAttribute;
typedef PFN_cuFuncSetAttribute_v9000 form_cuFuncSetAttribute;
typedef PFN_cuLaunchKernelEx_v11060 form_cuLaunchKernelEx;
typedef PFN_cuStreamCreate_v2000 form_cuStreamCreate;
typedef PFN_cuStreamDestroy_v4000 form_cuStreamDestroy;
typedef PFN_cuStreamSynchronize_v2000 form_cuStreamSynchronize;
typedef PFN_cuStreamWaitEvent_v3020 form_cuStreamWaitEvent;
typedef PFN_cuStreamBeginCapture_v10010 form_cuStreamBeginCapture;
typedef PFN_cuStreamEndCapture_v10000 form_cuStreamEndCapture;
typedef PFN_cuGraphInstantiateWithFlags_v11040 form_cuGraphInstantiateWithFlags;
typedef PFN_cuGraphDestroy_v10000 form_cuGraphDestroy;
typedef PFN_cuGraphLaunch_v10000 form_cuGraphLaunch;
typedef PFN_cuGraphExecDestroy_v10000 form_cuGraphExecDestroy;
typedef PFN_cuEventCreate_v2000 form_cuEventCreate;
typedef PFN_cuEventRecord_v2000 form_cuEventRecord;
typedef PFN_cuEventSynchronize_v2000 form_cuEventSynchronize;
typedef PFN_cuEventElapsedTime_v2000 form_cuEventElapsedTime;
typedef PFN_cuEventDestroy_v4000 form_cuEventDestroy;

#define FORM_EXISTS(name, arguments) \
    _Static_assert(sizeof(form_##name) == sizeof(((struct od_cu_api *)0)->name), #name);
OD_CU_FUNCTIONS(FORM_EXISTS)

// As many arguments as that form takes.
#define SHAPE(name, ...) (void)sizeof(((form_##name)NULL)(__VA_ARGS__))

static void test_headers(void **state)
{
    (void)state;
    print_message("# cuda.h %d, cublasLt.h %s, nvml.h %s\n", CUDA_VERSION,
                  HAVE_LT ? "compared" : "absent", HAVE_NVML ? "compared" : "absent");
    assert_true(CUDA_VERSION >= OD_CU_API);
    SHAPE(cuMemGetInfo, NULL, NULL);
    SHAPE(cuDeviceTotalMem, NULL, 0);
    SHAPE(cuMemAlloc, NULL, 0);
    SHAPE(cuMemHostAlloc, NULL, 0, 0);
    SHAPE(cuMemcpyHtoDAsync, 0, NULL, 0, NULL);
    SHAPE(cuMemcpyDtoHAsync, NULL, 0, 0, NULL);
    SHAPE(cuMemcpyDtoDAsync, 0, 0, 0, NULL);
    SHAPE(cuMemcpy2DAsync, NULL, NULL);
    SHAPE(cuMemsetD8Async, 0, 0, 0, NULL);
    SHAPE(cuLaunchKernelEx, NULL, NULL, NULL, NULL);
    SHAPE(cuStreamWaitEvent, NULL, NULL, 0);
    SHAPE(cuStreamBeginCapture, NULL, CU_STREAM_CAPTURE_MODE_RELAXED);
    SHAPE(cuGraphInstantiateWithFlags, NULL, NULL, 0);
    SHAPE(cuEventElapsedTime, NULL, NULL, NULL);
    SHAPE(cuDevicePrimaryCtxRelease, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_headers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
