// http/page_maker.h
//
// PageMaker makes a page that costs something (the metrics: milliseconds) once for all who ask for
// it within a short while, and not on the lanes where they ask. One is made at a time.
//
// Freshness: a page is begun after everybody who gets it has asked.
// Bounds: after each page it rests; who asks meanwhile shares the next one. Who asks is counted by
//   its connection, as any request that waits.
// Threads: get() from any; make and `done` run on the lane that was given.
// Lifetime: that lane has stopped before this goes.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/bytes.h"
#include "base/executor.h"

namespace keelson::http {

class PageMaker {
 public:
  using Done = absl::AnyInvocable<void(Bytes)>;
  // Called once, on any thread, with the page.
  using Made = absl::AnyInvocable<void(std::string)>;

  PageMaker(Executor* lane, absl::AnyInvocable<std::string()> make);
  // Where others must be asked first. `begin` runs on the lane.
  PageMaker(Executor* lane, absl::AnyInvocable<void(Made)> begin)
      : lane_(*lane), begin_(std::move(begin)) {}

  // `gzip`: compressed, once for all who want it so.
  void get(bool gzip, Done done);

 private:
  struct Asker {
    bool gzip;
    Done done;
  };
  void make();
  void hand_out(std::vector<Asker> askers, std::string_view made);

  Executor& lane_;
  absl::AnyInvocable<void(Made)> begin_;
  // The lane's.
  std::vector<Asker> waiting_;
  bool due_ = false;  // a page is being made, or make() is on its way or will be after the rest
};

}  // namespace keelson::http
