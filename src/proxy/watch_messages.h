// proxy/watch_messages.h
//
// The cluster's messages of a watch, and what clients get of them. Events are encoded once for all
// clients, who share them; what differs is the few bytes in front.
//
// Threads: pure functions, and a value.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/parts.h"
#include "proxy/key_prefix.h"

namespace keelson::proxy {

// What a watcher wants to hear.
struct WatchWish {
  std::string key, end;  // as the cluster has them
  int64_t start = 0;     // 0: from now on
  int64_t id = 0;        // 0: any
  bool progress = false;
  bool prev_kv = false;
  bool no_put = false, no_delete = false;

  bool is_empty_range() const {
    return !end.empty() && end <= key && end != std::string_view("\0", 1);
  }
};

class WatchMessage {
 public:
  // Errors: Internal for what is no message. `prefix` is taken from the keys.
  static absl::StatusOr<WatchMessage> read(const Parts& message, const KeyPrefix& prefix);

  int64_t id() const { return id_; }
  bool created() const { return created_; }
  bool cancelled() const { return cancelled_; }
  int64_t revision() const { return revision_; }  // of its header
  const std::string& header() const { return header_; }
  bool has_events() const { return !events_.empty(); }
  // Of the last event; 0: there is none.
  int64_t last_revision() const { return events_.empty() ? 0 : events_.back().revision; }
  bool is_progress() const {
    return !created_ && !cancelled_ && events_.empty() && compact_revision_ == 0;
  }

  // Without events.
  Parts control(int64_t id, bool created) const;
  // The events from a revision on that are wanted. Nothing: there are none.
  std::optional<Parts> events(int64_t id, int64_t from, const WatchWish& wish) const;

 private:
  struct Event {
    int64_t revision;
    bool is_delete;
    size_t begin, end;  // in block_
  };
  absl::Status read_event(std::string_view bytes, const KeyPrefix& prefix, std::string* block);

  std::string header_;
  int64_t id_ = 0;
  int64_t revision_ = 0;
  bool created_ = false, cancelled_ = false;
  int64_t compact_revision_ = 0;
  std::string reason_;
  std::vector<Event> events_;
  Bytes block_;  // all events as fields of an answer
};

// Answers that the proxy gives by itself; `header` as of a message, or empty.
Parts watch_created(std::string_view header, int64_t id);
Parts watch_cancelled(std::string_view header, int64_t id);
Parts watch_refused(std::string_view reason);

// What the cluster is asked.
Bytes create_watch(const WatchWish& wish, int64_t id, int64_t start);
Bytes cancel_watch(int64_t id);
Bytes ask_progress();

}  // namespace keelson::proxy
