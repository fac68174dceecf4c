#include "net/block_pool.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "net/pools.h"

namespace keelson::net {
namespace {

constexpr size_t kStep = 32;       // sizes are multiples of it, header included
constexpr size_t kLargest = 1024;  // larger blocks are malloc's
constexpr size_t kClasses = kLargest / kStep;
constexpr size_t kKeptBytes = 1 << 20;

// Before each block. Sixteen bytes, so that what follows is aligned as malloc's.
struct alignas(16) Header {
  size_t size;  // of the whole block
};

struct Pool {
  struct Free {
    Free* next;
  };
  Free* free[kClasses] = {};
  size_t kept[kClasses] = {};
  bool gone = false;

  ~Pool() {
    gone = true;
    for (Free*& list : free) {
      while (Free* block = list) {
        list = block->next;
        std::free(block);
      }
    }
  }
};
thread_local Pool pool;

size_t class_of(size_t size) { return size / kStep - 1; }

void* take(size_t bytes, void*) {
  size_t size = (bytes + sizeof(Header) + kStep - 1) / kStep * kStep;
  void* block = nullptr;
  if (size <= kLargest && pool.free[class_of(size)]) {
    Pool::Free*& list = pool.free[class_of(size)];
    block = list;
    list = list->next;
    pool.kept[class_of(size)] -= size;
  } else {
    block = std::malloc(size);
    if (!block) return nullptr;
  }
  static_cast<Header*>(block)->size = size;
  return static_cast<Header*>(block) + 1;
}

void give_back(void* pointer, void*) {
  if (!pointer) return;
  Header* block = static_cast<Header*>(pointer) - 1;
  size_t size = block->size;
  if (size > kLargest || pool.gone || pool.kept[class_of(size)] + size > kKeptBytes) {
    return std::free(block);
  }
  pool.kept[class_of(size)] += size;
  auto* link = reinterpret_cast<Pool::Free*>(block);
  link->next = pool.free[class_of(size)];
  pool.free[class_of(size)] = link;
}

void* take_zeroed(size_t count, size_t each, void* user) {
  if (each != 0 && count > SIZE_MAX / 2 / each) return nullptr;
  void* block = take(count * each, user);
  if (block) std::memset(block, 0, count * each);
  return block;
}

void* resize(void* pointer, size_t bytes, void* user) {
  if (!pointer) return take(bytes, user);
  size_t room = (static_cast<Header*>(pointer) - 1)->size - sizeof(Header);
  if (bytes <= room) return pointer;
  void* bigger = take(bytes, user);
  if (!bigger) return nullptr;
  std::memcpy(bigger, pointer, room);
  give_back(pointer, user);
  return bigger;
}

}  // namespace

nghttp2_mem* pooled_memory() {
  static nghttp2_mem memory = {nullptr, take, give_back, take_zeroed, resize};
  return pools_keep() ? &memory : nullptr;
}

}  // namespace keelson::net
