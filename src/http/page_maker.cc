#include "http/page_maker.h"

#include <utility>

#include "http/gzip.h"

namespace keelson::http {
namespace {

// A tenth of a processor at most, with a page of two milliseconds.
constexpr Duration kRest = std::chrono::milliseconds(20);

}  // namespace

void PageMaker::get(bool gzip, Done done) {
  lane_.post([this, gzip, done = std::move(done)]() mutable {
    waiting_.push_back({gzip, std::move(done)});
    if (std::exchange(due_, true)) return;
    // Behind those who have asked by now.
    lane_.post([this] { make(); });
  });
}

void PageMaker::make() {
  due_ = false;
  if (waiting_.empty()) return;
  due_ = true;
  std::vector<Asker> answered = std::exchange(waiting_, {});
  const Bytes page = Bytes::copy(make_page_());
  Bytes zipped;
  for (Asker& asker : answered) {
    if (asker.gzip && zipped.empty()) zipped = Bytes::copy(gzip(page.view()));
    asker.done(asker.gzip ? zipped : page);
  }
  lane_.post_after(kRest, [this] { make(); });
}

}  // namespace keelson::http
