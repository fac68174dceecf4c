// net/pools.h
//
// The switch of what net/ keeps for its next use (calls, their heads, output buffers). Off,
// everything is really freed and made anew, so that AddressSanitizer and valgrind see who uses what
// is gone. It is off under the sanitizers, and with KEELSON_POOLS=off in the environment.
//
// Threads: any.

#pragma once

#include <cstddef>
#include <vector>

namespace keelson::net {

bool pools_keep();

// What a buffer may keep between its uses.
inline constexpr size_t kRoomKept = 4 << 10;

// Empties what is reused. Room beyond the usual goes: a call or connection that once held a
// megabyte must not keep it while it waits for the next one.
template <typename Container>
void empty_out(Container* container, size_t most) {
  container->clear();
  if (container->capacity() > most) Container().swap(*container);
}

// Objects that are done, for the next use on the same thread, kMost of them. They hold little when
// they are put here.
template <typename T>
class FreeList {
 public:
  // Null: there is none.
  static T* take() {
    if (list_.objects.empty()) return nullptr;
    T* const object = list_.objects.back();
    list_.objects.pop_back();
    return object;
  }
  // Deletes it if it is not to be kept.
  static void put(T* object) {
    if (!pools_keep() || gone_ || list_.objects.size() >= kMost) {
      delete object;
    } else {
      list_.objects.push_back(object);
    }
  }

 private:
  static constexpr size_t kMost = 1024;
  struct List {
    std::vector<T*> objects;
    ~List() {
      gone_ = true;
      for (T* object : objects) delete object;
    }
  };
  static inline thread_local List list_;
  static inline thread_local bool gone_ = false;  // the thread ends
};

}  // namespace keelson::net
