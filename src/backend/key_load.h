// backend/key_load.h
//
// Fills the key bucket of a new store with records that are in order already, past commits: they
// become files as they come, and the store's all at once. What makes single commits cheap (memory
// that is written later, files of it that are merged later) would be work for nothing.
//
//   std::unique_ptr<KeyLoad> load = load_keys(*store);
//   std::unique_ptr<KeyLoad::Part> part = load->part();  // on each of some threads
//   while (…) s = part->add(key, value);
//   s = part->finish();
//   s = load->install();
//
// Threads: part() on any; a Part is one thread's, any number of them work at once; install() when
//   all of them are gone.
// Durability: as with commits, nothing is promised before the next flush of the store; a crash may
//   leave the records or not. They come without a raft position.
// Memory: what a file's index takes, and a few blocks, for each part.
// Errors: those of Backend. What was not installed is removed by the destructor, or by whoever
//   removes the store: after an error it is of no use.
// Lifetime: the store outlives it, and a KeyLoad its parts.

#pragma once

#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "backend/backend.h"

namespace keelson::backend {

class KeyLoad {
 public:
  // A stretch of keys.
  class Part {
   public:
    virtual ~Part() = default;
    // REQUIRES: `key` is above the one before, and not among those of another part.
    virtual absl::Status add(std::string_view key, std::string_view value) = 0;
    // Once, as the last; a part without it adds nothing.
    virtual absl::Status finish() = 0;
  };

  virtual ~KeyLoad() = default;
  virtual std::unique_ptr<Part> part() = 0;
  // All records of all finished parts are visible when it returns Ok. Once.
  virtual absl::Status install() = 0;
};

// REQUIRES: the store's key bucket is empty, and nothing is committed before install() has
// returned. Where a store has no such way, the parts commit.
std::unique_ptr<KeyLoad> load_keys(Backend& store);

// A Backend that has one is one of these, too.
class LoadsKeys {
 public:
  virtual ~LoadsKeys() = default;
  virtual std::unique_ptr<KeyLoad> load_keys() = 0;
};

}  // namespace keelson::backend
