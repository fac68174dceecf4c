// proxy/holdings.h
//
// Holdings is what a proxy with leasing knows of the keys that it may answer reads of: which it
// holds, what stands there, which of them are just being written through it, and which it is to
// give up. It asks nobody; proxy/leasing.h does, and says here what came of it.
//
// A key's value is known only from an answer that no write through this proxy can have overtaken:
//   - while a write is under way its keys are for the cluster, and are not acquired;
//   - what an acquisition read is not believed if a write has been answered with a later revision;
//   - a write of which it is not known whether it took place, or whether it still will, ends the
//     holding: its condition (proxy/guarded_write.h) fails once the key has been taken anew.
//
// A key that goes away by itself, with a lease, is not held, nor is one with a large value, nor a
// long key.
// Bounds: keys, and the bytes of all that is remembered, of keys that are not held or not there as
//   of others; beyond that the least used are given up. Of ranges
//   that are being written kMostRanges are told apart; while there are more, all keys are for the
//   cluster.
// Threads: one.

#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "proxy/leasing_answers.h"
#include "proxy/leasing_keys.h"
#include "proxy/range_cache.h"

namespace keelson::proxy {

class Holdings {
 public:
  struct Limits {
    size_t keys = 16384;
    size_t bytes = size_t{64} << 20;
    size_t one = size_t{1} << 20;
  };
  static constexpr size_t kMostRanges = 64;
  static constexpr size_t kLongestKey = 4096;
  // What one costs besides its key and its value.
  static constexpr size_t kEntryBytes = 256;
  // How long a key is left alone that was given up, or is another's: etcd's. Longer, if it is no
  // key for holding.
  static constexpr Duration kRest = std::chrono::seconds(2);
  static constexpr Duration kLongRest = std::chrono::seconds(60);

  Holdings(const Limits& limits, const Clock& clock) : limits_(limits), clock_(clock) {}

  // ---- reading

  // Null: for the cluster. Until the next call of another method.
  const KnownKey* find(const std::string& key);

  // Whether the key may be acquired now; then whoever asks does so, and says what came of it.
  bool begin_acquiring(const std::string& key);
  // `acquired` as read_acquired() has it; nothing: it failed, whatever the cluster has done.
  void end_acquiring(const std::string& key, const std::optional<Acquired>& acquired);

  // ---- writing

  // At which revision our leasing key beside it was created, at most; 0: there is none of ours.
  int64_t created(const std::string& key) const;

  void begin_writing(const std::vector<KeySpan>& keys);

  enum class Outcome { kNone, kDone, kUnknown };
  struct Written {
    Outcome outcome = Outcome::kNone;
    int64_t revision = 0;  // of kDone
    // What stands there then, of some of the keys.
    std::vector<std::pair<std::string, std::optional<mvccpb::KeyValue>>> values = {};
  };
  // REQUIRES: begun with the same keys.
  void end_writing(const std::vector<KeySpan>& keys, const Written& written);

  // Those of them that are held, up to so many.
  std::vector<std::string> held_in(const std::vector<KeySpan>& keys, size_t most) const;

  // ---- giving up

  // Somebody wants it, at that revision. False: there is more to give up than can be remembered.
  bool revoked(const std::string& key, int64_t revision);
  // Our leasing key beside it is gone, or another's, since that revision.
  void lost(const std::string& key, int64_t revision);
  // Nothing can be said of them any more.
  void give_up(const KeySpan& keys);

  struct ToGive {
    std::string key;
    int64_t before = 0;  // see LeasingKeys::release()
  };
  // The next to be given up; whoever takes it does so, and says given() or try_again().
  std::optional<ToGive> next_to_give();
  void given(const std::string& key);
  void try_again(const std::string& key);

  // All is lost, the lease being over. What is being written stays so.
  void clear();

  size_t held() const { return held_; }
  size_t entries() const { return entries_.size(); }
  size_t bytes() const { return bytes_; }
  // Sums and order, against all entries.
  void check_invariants() const;

 private:
  enum class State { kIdle, kHeld, kGiving };
  struct Entry;
  using Entries = std::map<std::string, Entry, std::less<>>;
  using Place = Entries::iterator;
  struct Entry {
    State state = State::kIdle;
    std::list<Place>::iterator order;
    int64_t created = 0;  // of our leasing key; > 0 when held
    int64_t lost_at = 0;  // what was taken before is ours no more
    bool acquiring = false;
    bool doomed = false;  // and may yet be written, by we do not know whom
    bool known = false;   // only if held; then `value` is what was there at as_of
    KnownKey value;
    int64_t as_of = 0;
    int64_t before = 0;  // kGiving: see LeasingKeys::release()
    Duration rest{0};    // once it is given up
    MonotonicTime rest_until;
  };

  Place touch(const std::string& key);
  void erase(Place place);
  bool has_room(const std::string& key) const;
  bool make_room(const std::string& key);
  bool is_written(const std::string& key) const;
  static size_t cost_of(const std::string& key) { return kEntryBytes + key.size(); }
  template <typename Visit>
  void each_in(const KeySpan& keys, const Visit& visit);
  void learn(Place place, int64_t revision, const std::optional<mvccpb::KeyValue>& value);
  void forget(Entry& entry);
  void give(Place place, int64_t before, Duration rest);
  void rest(Place place, Duration rest);
  void set_state(Entry& entry, State state);
  void keep_bounds();

  const Limits limits_;
  const Clock& clock_;
  // <= limits_.keys, or twice that with those that we are asked for and know nothing of.
  Entries entries_;
  std::list<Place> order_;  // the last used first; each entry once
  size_t held_ = 0;         // entries in kHeld; <= entries_.size()
  // Of all entries, with their keys; <= limits_.bytes, or twice that, as above.
  size_t bytes_ = 0;
  // Of entries in kGiving, those that nobody is giving up yet. A key may be here that is not.
  std::deque<std::string> to_give_;
  // What is being written, and how often.
  std::unordered_map<std::string, size_t> written_ones_;
  std::list<KeySpan> written_ranges_;
};

}  // namespace keelson::proxy
