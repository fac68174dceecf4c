// http/page_maker.h
//
// PageMaker makes a page that costs something (the metrics: milliseconds) once for all who ask for
// it within a short while, and not on the lanes where they ask.
//
// Freshness: a page is begun after everybody who gets it has asked.
// Bounds: after each page it rests; who asks meanwhile shares the next one. Who asks is counted by
//   its connection, as any request that waits.
// Threads: get() from any; make and `done` run on the lane that was given.
// Lifetime: that lane has stopped before this goes.

#pragma once

#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/bytes.h"
#include "base/executor.h"

namespace keelson::http {

class PageMaker {
 public:
  using Done = absl::AnyInvocable<void(Bytes)>;

  PageMaker(Executor* lane, absl::AnyInvocable<std::string()> make)
      : lane_(*lane), make_page_(std::move(make)) {}

  // `gzip`: compressed, once for all who want it so.
  void get(bool gzip, Done done);

 private:
  struct Asker {
    bool gzip;
    Done done;
  };
  void make();

  Executor& lane_;
  absl::AnyInvocable<std::string()> make_page_;
  // The lane's.
  std::vector<Asker> waiting_;
  bool due_ = false;  // make() is on its way, or will be after the rest
};

}  // namespace keelson::http
