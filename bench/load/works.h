// bench/load/works.h
//
// The works of the unary load: puts, gets, lists, pages, guarded transactions, and filling a store.

#pragma once

#include <memory>
#include <string>

#include "load/unary_load.h"

namespace keelson::bench {

enum class KeyChoice {
  kSame,      // one key
  kDistinct,  // every call another key, endlessly
  kCycle,     // the space in order, again and again
  kRandom,    // any of the space
};

struct WorkOptions {
  std::string prefix = "/bench/";
  KeyChoice keys = KeyChoice::kSame;
  uint64_t space = 1'000'000;  // keys
  size_t value_size = 256;
  bool fresh = false;  // each value of random bytes of its own: nothing to compress
  bool serializable = false;
  int64_t limit = 500;    // of a page
  uint64_t expected = 0;  // keys that a list must bring; 0: any
  size_t batch = 100;     // puts in a transaction of the filler
  uint64_t seed = 1;
  size_t slots = 1;
};

// The key numbered `n`: the prefix and ten digits.
std::string key_of(const WorkOptions& options, uint64_t n);

std::unique_ptr<Work> make_put(const WorkOptions& options);
std::unique_ptr<Work> make_get(const WorkOptions& options);
// All keys of the prefix in one answer.
std::unique_ptr<Work> make_list(const WorkOptions& options);
// Walks the prefix page by page, each slot for itself; the count must fall by what a page brought.
std::unique_ptr<Work> make_page(const WorkOptions& options);
// Creates a key of the slot's own, then updates it, each guarded by the revision read last.
std::unique_ptr<Work> make_txn(const WorkOptions& options);
// Puts the whole space, again and again, `batch` keys to a transaction.
std::unique_ptr<Work> make_fill(const WorkOptions& options);

}  // namespace keelson::bench
