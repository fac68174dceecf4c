// mvcc/range_read.h
//
// RangeRead answers one range request: which keys, at which revision, in which order, how many.
// The rules about limit, count, more, sorting and filters are etcd's to the letter (v3.7.1,
// server/etcdserver/txn/range.go and server/storage/mvcc/kvstore_txn.go), oddities included:
//   - keys_only is answered from the index and then carries no lease, except when sorted by value;
//   - with SortOrder NONE and a target other than KEY the limit (plus one) cuts first, in the order
//     of keys, and what is left is then sorted ascending;
//   - filters do not change `count`.
// Where several keys are equal under the sort target they stay in the order of keys (etcd's order
// of equals is whatever Go's unstable sort makes of it, beyond 12 results).
//
// How it reads: in sections of a few thousand keys, each inside an epoch; the revision, which is
//   pinned against compaction, ties them together. What is not in memory is read from the backend
//   after them. Between any two of these steps it looks whether it may go on (mvcc/read_bounds.h).
// Threads: one object per read, on the reader's thread.

#pragma once

#include <string>
#include <vector>

#include "mvcc/read_bounds.h"
#include "mvcc/store_impl.h"

namespace keelson::mvcc {

class RangeRead {
 public:
  // `slot` null: the writer's own read on the working tree. `at`: the revision of the view.
  // `bounds` null: there are none.
  RangeRead(const StoreImpl& store, Epochs::Slot* slot, int64_t at, const KeyRange& keys,
            const RangeOptions& options, ReadBounds* bounds);

  absl::StatusOr<RangeResult> run();

 private:
  struct Item {
    Bytes kv;           // empty: still to be read back
    Revision revision;  // of the KeyValue
    uint32_t size;      // of it, encoded
  };

  // etcd's classes of requests.
  bool has_filters() const;
  bool default_order() const;
  int64_t fetch_limit() const;
  // How many items are enough; 0: all are needed.
  uint64_t enough() const;

  bool is_sorted() const;

  absl::Status walk();
  absl::Status walk_section(bool* done);
  uint64_t newest_visits() const;
  // False: not here, by the bounds.
  bool may_visit(uint64_t keys);
  bool unwanted() const;
  static absl::Status gave_up();
  void read_single(const Root& root);
  void walk_newest(const Root& root, bool* done);
  void walk_older(const Root& root, bool* done);
  void start(const Root& root);
  uint64_t count_in(const Root& root) const;
  // Takes one key's version; false: no more items are needed.
  bool take(KeyRecord* record, Version* version);
  Bytes from_index(KeyRecord* record, Version* version) const;
  bool filtered_by_mod(int64_t mod) const;
  bool have_enough() const { return enough_ > 0 && items_.size() >= enough_; }

  // Leaves what is not in memory where it is, if that may be and is worth it.
  absl::StatusOr<bool> hold(RangeResult* result);
  absl::Status read_back();
  void limit(RangeResult* result);
  absl::Status finish(RangeResult* result);
  // False: given up.
  bool sort(std::vector<KeyValueView>* views);
  void filter_by_create(std::vector<KeyValueView>* views);

  const StoreImpl& store_;
  Epochs::Slot* slot_;
  const int64_t at_;
  const KeyRange keys_;
  const RangeOptions& options_;
  ReadBounds* const bounds_;
  const int64_t revision_;  // read at
  const bool index_only_;   // keys_only from the index
  uint64_t enough_;

  bool started_ = false;
  bool count_known_ = false;
  uint64_t count_ = 0;
  uint64_t left_ = 0;   // walk_newest: keys still to visit
  std::string resume_;  // the last key visited, once started
  bool resuming_ = false;
  uint64_t skip_ = 0;  // walk_newest: live keys to pass over at the start
  std::vector<Item> items_;
};

}  // namespace keelson::mvcc
