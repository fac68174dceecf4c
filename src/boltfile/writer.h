// boltfile/writer.h
//
// Writer makes a bbolt database in one pass, out of buckets and keys that come in order, with one
// page per level of the trees in memory. To a stream it needs the plan that a Planner made of the
// same sizes; then it writes exactly plan.bytes() bytes, first to last. A sink that can go back
// needs no plan: the first two pages are written again at the end.
//
// The page of free pages is empty, sequences are 0, and both meta pages stand for the same state,
// as in a copy that bbolt makes.
//
// Threads: one caller at a time.
// Durability: that of the sink; nothing here syncs.
// Errors: InvalidArgument for what no database can hold, and for names or keys out of order;
//   FailedPrecondition for what differs from the plan; those of the sink. After an error what was
//   written is no database, and every later call answers the same error.
// Format: docs/formats/bolt.md.

#pragma once

#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "boltfile/planner.h"
#include "boltfile/sink.h"

namespace keelson::boltfile {

class Writer {
 public:
  // The sink outlives the writer and gets pieces of about a quarter of a megabyte, larger ones for
  // larger values.
  Writer(const Plan& plan, Sink* sink);
  Writer(const Layout& layout, SeekableSink* sink);
  ~Writer();

  // A bucket inside the one that is open, or a named one.
  absl::Status begin_bucket(std::string_view name);
  // REQUIRES: a bucket is open.
  absl::Status add(std::string_view key, std::string_view value);
  absl::Status end_bucket();
  // Called once, when every bucket has ended.
  absl::Status finish();

 private:
  struct State;

  absl::Status keep(absl::Status status);

  std::unique_ptr<State> state_;
};

}  // namespace keelson::boltfile
