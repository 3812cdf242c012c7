#include "static_shared.hpp"

thread_local unsigned char static_shared_begin[cuda_on_host::static_shared_fence];
