#include "http/page_maker.h"

#include <utility>

namespace keelson::http {
namespace {

// A tenth of a processor at most, with a page of two milliseconds.
constexpr Duration kRest = std::chrono::milliseconds(20);

}  // namespace

void PageMaker::get(Done done) {
  lane_.post([this, done = std::move(done)]() mutable {
    waiting_.push_back(std::move(done));
    if (std::exchange(due_, true)) return;
    // Behind those who have asked by now.
    lane_.post([this] { make(); });
  });
}

void PageMaker::make() {
  due_ = false;
  if (waiting_.empty()) return;
  due_ = true;
  std::vector<Done> answered = std::exchange(waiting_, {});
  const Bytes page = Bytes::copy(make_page_());
  for (Done& done : answered) done(page);
  lane_.post_after(kRest, [this] { make(); });
}

}  // namespace keelson::http
