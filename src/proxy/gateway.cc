#include "proxy/gateway.h"

#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time_text.h"
#include "net/loop_impl.h"

namespace keelson::proxy {
namespace {

constexpr Duration kShortageLines = std::chrono::seconds(1);

}  // namespace

Gateway::Gateway(std::vector<net::Loop*> loops, std::vector<Endpoint> endpoints, Dialer* dialer,
                 Random* random, Options options)
    : loops_(std::move(loops)),
      options_(options),
      dialer_(*dialer),
      endpoints_(std::move(endpoints), random),
      relays_(loops_.size()) {
  CHECK(!loops_.empty());
  CHECK(options_.retry_delay > Duration(0));
  for (size_t i = 0; i < endpoints_.size(); ++i) {
    rechecks_.push_back(std::make_unique<Recheck>(this, i));
  }
}

Gateway::~Gateway() = default;

// ---- a client's way to a server

void Gateway::admit(Line client) {
  CHECK(room());
  if (draining_) return;
  clients_.fetch_add(1);
  connect({Seat(shared_from_this()), std::move(client), Endpoints::Tried(endpoints_.size())});
}

void Gateway::connect(Caller caller) {
  if (draining_) return;
  const std::optional<size_t> number = endpoints_.pick(caller.tried);
  if (!number) return note_nobody();
  dialer_.dial(endpoints_.at(*number), [self = shared_from_this(), caller = std::move(caller),
                                        number = *number](absl::StatusOr<Line> server) mutable {
    self->answered(std::move(caller), number, std::move(server));
  });
}

void Gateway::answered(Caller caller, size_t number, absl::StatusOr<Line> server) {
  if (server.ok()) return join(std::move(caller), *std::move(server));
  caller.tried[number] = true;
  if (absl::IsResourceExhausted(server.status())) {
    note_shortage(server.status());
  } else {
    failed(number, server.status());
  }
  connect(std::move(caller));
}

void Gateway::note_nobody() {
  for (size_t i = 0; i < endpoints_.size(); ++i) {
    if (endpoints_.is_active(i)) return;
  }
  if (std::exchange(said_nobody_, true)) return;
  log::warn("no endpoint is active; clients are turned away until one is");
}

void Gateway::join(Caller caller, Line server) {
  const size_t loop = next_loop_;
  next_loop_ = (next_loop_ + 1) % loops_.size();
  loops_[loop]->post([self = shared_from_this(), loop, caller = std::move(caller),
                      server = std::move(server)]() mutable {
    self->add(loop, std::move(caller), std::move(server));
  });
}

// ---- relays

void Gateway::add(size_t loop, Caller caller, Line server) {
  auto relay = std::make_shared<Relay>(loops_[loop], std::move(caller.line), std::move(server),
                                       [this, loop](Relay* over) { remove(loop, over); });
  relays_[loop].emplace(relay.get(), relay);
  caller.seat.pass_on();
  relay->start();
  if (draining_) relay->finish();  // it was on its way here when the others were told
}

void Gateway::remove(size_t loop, Relay* relay) {
  relays_[loop].erase(relay);
  left();
}

void Gateway::left() {
  std::lock_guard lock(mutex_);
  const size_t before = clients_.fetch_sub(1);
  CHECK(before > 0);
  changed_.notify_all();
}

void Gateway::each_relay(void (Relay::*what)()) {
  for (size_t loop = 0; loop < loops_.size(); ++loop) {
    loops_[loop]->post([self = shared_from_this(), loop, what] {
      const Relays relays = self->relays_[loop];  // a copy: ending one takes it out
      for (const auto& [key, relay] : relays) (relay.get()->*what)();
    });
  }
}

void Gateway::begin_drain() {
  if (draining_.exchange(true)) return;
  first_loop().post([self = shared_from_this()] {
    for (const auto& one : self->rechecks_) one->cancel();
    self->dialer_.stop();
  });
  each_relay(&Relay::finish);
}

bool Gateway::wait_until_empty(std::chrono::steady_clock::time_point until) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, until, [this] { return clients() == 0; });
}

void Gateway::cut() { each_relay(&Relay::cut); }

// ---- servers that cannot be reached

void Gateway::failed(size_t number, const absl::Status& why) {
  if (!endpoints_.set_active(number, false)) return;
  log::warn("deactivated endpoint", {{"address", endpoints_.at(number).address()},
                                     {"interval", duration_text(options_.retry_delay)},
                                     {"error", message_of(why)}});
  arm(number);
}

void Gateway::arm(size_t number) {
  if (draining_) return;
  first_loop().impl().timers().arm(rechecks_[number].get(),
                                   first_loop().now() + options_.retry_delay);
}

void Gateway::recheck(size_t number) {
  if (draining_) return;
  dialer_.dial(endpoints_.at(number),
               [self = shared_from_this(), number](absl::StatusOr<Line> line) {
                 self->rechecked(number, line.status());
               });
}

void Gateway::rechecked(size_t number, const absl::Status& answer) {
  const std::string address = endpoints_.at(number).address();
  if (answer.ok()) {
    endpoints_.set_active(number, true);
    said_nobody_ = false;
    return log::info("activated", {{"address", address}});
  }
  log::warn("failed to activate endpoint (stay inactive for another interval)",
            {{"address", address},
             {"interval", duration_text(options_.retry_delay)},
             {"error", message_of(answer)}});
  arm(number);
}

void Gateway::note_shortage(const absl::Status& why) {
  const MonotonicTime now = first_loop().now();
  if (now < next_shortage_line_) return;
  next_shortage_line_ = now + kShortageLines;
  log::warn("this machine cannot connect a client", {{"error", message_of(why)}});
}

}  // namespace keelson::proxy
