#include "http/page_maker.h"

#include <utility>

#include "http/gzip.h"

namespace keelson::http {
namespace {

// A tenth of a processor at most, with a page of two milliseconds.
constexpr Duration kRest = std::chrono::milliseconds(20);

}  // namespace

PageMaker::PageMaker(Executor* lane, absl::AnyInvocable<std::string()> make)
    : PageMaker(lane, [make = std::move(make)](Made made) mutable { made(make()); }) {}

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
  begin_([this, askers = std::exchange(waiting_, {})](std::string page) mutable {
    lane_.post([this, askers = std::move(askers), page = std::move(page)]() mutable {
      hand_out(std::move(askers), page);
    });
  });
}

void PageMaker::hand_out(std::vector<Asker> askers, std::string_view made) {
  const Bytes page = Bytes::copy(made);
  Bytes zipped;
  for (Asker& asker : askers) {
    if (asker.gzip && zipped.empty()) zipped = Bytes::copy(gzip(page.view()));
    asker.done(asker.gzip ? zipped : page);
  }
  lane_.post_after(kRest, [this] { make(); });
}

}  // namespace keelson::http
