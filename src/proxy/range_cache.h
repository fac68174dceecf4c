// proxy/range_cache.h
//
// RangeCache keeps answers to ranges for later serializable ones that ask for the same. A write
// that came through the proxy puts out what it touches, so that nobody who wrote here reads what
// was before; of other writes it does not know, and a serializable read may be as old as its answer
// (as in etcd, where nothing else ends an answer's life but its place in the order of use).
//
// Who may have an answer: whoever brings the same token. etcd hands them to anybody.
// Order: an answer is taken up only if its revision is no older than every write of its keys that
//   is remembered, or the newest that is not.
// Threads: one. Bounds: entries, their bytes, and the bytes of one; kWrites writes are remembered.
// Source: etcd v3.7.1, server/proxy/grpcproxy/cache.

#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/parts.h"

namespace keelson::proxy {

// The keys of a request: one, if `end` is empty; all from `begin` on, if it is a single zero.
struct KeySpan {
  std::string begin, end;

  bool is_one() const { return end.empty(); }
  bool contains(std::string_view key) const;
  bool overlaps(const KeySpan& other) const;
};

class RangeCache {
 public:
  struct Limits {
    size_t entries = 2048;
    size_t bytes = size_t{64} << 20;
    size_t one = size_t{1} << 20;
  };
  static constexpr size_t kWrites = 256;

  explicit RangeCache(const Limits& limits) : limits_(limits) {}

  // `request` tells requests apart, and who asks. Null until the next call of another method.
  const Parts* find(const std::string& request);
  // The answer's revision is `revision`; `at` is that of the request, 0 for the newest.
  void add(const std::string& request, const KeySpan& keys, int64_t at, int64_t revision,
           Parts answer);

  // They were written; at 0: it is not known when, if at all.
  void put_out(const KeySpan& keys, int64_t revision);

  void compact(int64_t revision);
  // Whether a request for that revision is known to be in vain.
  bool compacted(int64_t revision) const { return revision > 0 && revision < compacted_; }

  size_t entries() const { return order_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::string request;
    KeySpan keys;
    int64_t at;
    Parts answer;

    size_t size() const { return request.size() + answer.size() + 200; }
  };
  using Place = std::list<Entry>::iterator;
  struct ByAddress {
    bool operator()(Place a, Place b) const { return &*a < &*b; }
  };
  struct Write {
    KeySpan keys;
    int64_t revision;
  };

  bool out_of_date(const KeySpan& keys, int64_t revision) const;
  void remove(Place place);

  const Limits limits_;
  std::list<Entry> order_;  // the last used first; <= limits_.entries
  std::unordered_map<std::string_view, Place> by_request_;
  // Of the newest revision: those a write may put out. Single keys by key.
  std::multimap<std::string_view, Place> ones_;
  std::set<Place, ByAddress> ranges_;
  size_t bytes_ = 0;          // of all entries; <= limits_.bytes
  std::deque<Write> writes_;  // the newest last; <= kWrites
  int64_t forgotten_ = 0;     // the newest revision of those that are not remembered
  int64_t compacted_ = 0;
};

}  // namespace keelson::proxy
