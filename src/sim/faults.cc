#include "sim/faults.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/text.h"

namespace keelson::sim {
namespace {

constexpr uint64_t kIntervals[] = {60, 150, 150, 400, 1000, 4000};
// A cluster is not frozen after that: its clocks have their limits.
constexpr MonotonicTime kLastFrozen{std::chrono::hours(1)};

}  // namespace

Faults::Faults(World& world, Admin& admin)
    : world_(world), admin_(admin), plots_(world, admin, [this](int i) { start(i); }) {
  for (uint8_t kind = 0; kind < static_cast<uint8_t>(Kind::kKinds); ++kind) {
    if (!plots_.alone() && world_.random().below(5) < 2) kinds_.push_back(static_cast<Kind>(kind));
  }
  one_in_ = kIntervals[world_.random().below(std::size(kIntervals))];
}

int Faults::any() {
  return static_cast<int>(world_.random().below(static_cast<uint64_t>(world_.size())));
}

void Faults::act() {
  Random& random = world_.random();
  plots_.act();
  if (random.below(one_in_) != 0) return;
  const int i = random.below(3) == 0 && world_.leader() >= 0 ? world_.leader() : any();
  if (random.below(3) == 0) return start(i);
  if (kinds_.empty()) return;
  const Kind kind = kinds_[random.below(kinds_.size())];
  if (random.below(3) == 0) {
    strike(kind, i);
  } else {
    mend(kind, i);
  }
}

void Faults::strike(Kind kind, int i) {
  Random& random = world_.random();
  const bool serves = world_.serves(i);
  switch (kind) {
    case Kind::kDeath:
      if (serves) world_.kill(i, false);
      return;
    case Kind::kStop:
      if (serves) world_.stop(i);
      return;
    case Kind::kPowerLoss:
      if (serves) world_.kill(i, true);
      return;
    case Kind::kSplit:
      return random.below(2) == 0 ? world_.split({i}) : world_.split({i, any()});
    case Kind::kOneWay:
      return world_.cut(i, any());
    case Kind::kPartial:
      return cut_here_and_there();
    case Kind::kWeather:
      return world_.set_weather({random.below(100), random.below(100), random.below(200)});
    case Kind::kStall:
      if (serves) stall(i);
      return;
    case Kind::kPause:
      if (serves) world_.pause(i);
      return;
    case Kind::kSlowStore:
      return world_.stores(i).be_slow();
    case Kind::kFullDisk:
      full_.insert(i);
      return world_.member(i).files.set_capacity(world_.member(i).files.used() +
                                                 random.below(16 << 10));
    case Kind::kFailedWrite:
      if (!serves) return;
      world_.excuse(i);
      return world_.member(i).files.fail_once_after(random.below(20));
    case Kind::kDamagedStore:
      if (!serves) return;
      world_.excuse(i);
      return world_.stores(i).be_damaged(random);
    case Kind::kLostDisk:
      if (admin_.may_lose(i) && random.below(4) == 0) world_.lose(i);
      return;
    case Kind::kFlippedBit:
      if (!serves && admin_.may_lose(i)) flip_a_bit(i);
      return;
    case Kind::kSuspended:
      if (serves) world_.suspend(i);
      return;
    case Kind::kFrozen:
      return freeze();
    case Kind::kWallClock:
      return set_wall_clock(i);
    case Kind::kKinds:
      return;
  }
}

void Faults::mend(Kind kind, int i) {
  switch (kind) {
    case Kind::kDeath:
    case Kind::kStop:
    case Kind::kPowerLoss:
    case Kind::kLostDisk:
    case Kind::kFlippedBit:
      return start(i);
    case Kind::kSplit:
    case Kind::kOneWay:
    case Kind::kPartial:
      return world_.heal();
    case Kind::kWeather:
      return world_.set_weather({});
    case Kind::kStall:
      return world_.member(i).schedule.release();
    case Kind::kPause:
    case Kind::kSuspended:
      return world_.resume(i);
    case Kind::kSlowStore:
    case Kind::kDamagedStore:
      return world_.stores(i).mend();
    case Kind::kFullDisk:
      full_.erase(i);
      return world_.member(i).files.set_capacity(UINT64_MAX);
    case Kind::kFailedWrite:
      return world_.member(i).files.no_more_failures();
    case Kind::kWallClock:
      return world_.set_wall_clock(i, {});
    case Kind::kFrozen:
    case Kind::kKinds:
      return;
  }
}

// A disk that takes its time holds up those that wait for it: mostly the log's, else what reads and
// writes the store.
void Faults::stall(int i) {
  node::Schedule& schedule = world_.member(i).schedule;
  const uint64_t choice = world_.random().below(6);
  if (choice < 2) return schedule.hold(schedule.apply);
  schedule.hold(choice == 2 ? schedule.background : schedule.log);
}

void Faults::cut_here_and_there() {
  for (int i = 0; i < world_.size(); ++i) {
    for (int j = 0; j < world_.size(); ++j) {
      if (i != j && world_.random().below(4) == 0) world_.cut(i, j);
    }
  }
}

void Faults::start(int i) {
  if (!admin_.may_start(i)) return;
  absl::Status started = world_.start(i);
  if (started.ok()) {
    flipped_.erase(i);
    return;
  }
  if (absl::IsDataLoss(started) && flipped_.contains(i)) return world_.lose(i);
  if (absl::IsResourceExhausted(started) && full_.contains(i)) return;
  world_.verdict().violated(cat("member ", i, " does not start: ", message_of(started)));
}

// In a segment of the log that is complete: no crash can have left that, so a start that reads it
// must say so.
void Faults::flip_a_bit(int i) {
  wal::MemoryFileSystem& files = world_.member(i).files;
  std::vector<std::string> segments;
  for (const std::string& path : files.paths()) {
    if (path.starts_with("/m/wal/") && path.ends_with(".wal")) segments.push_back(path);
  }
  if (segments.size() < 2) return;
  std::sort(segments.begin(), segments.end());
  const std::string& chosen = segments[world_.random().below(segments.size() - 1)];
  std::string contents = files.contents(chosen);
  if (contents.empty()) return;
  contents[world_.random().below(contents.size())] ^=
      static_cast<char>(1 << world_.random().below(8));
  files.set_contents(chosen, std::move(contents));
  flipped_.insert(i);
  world_.doubt(i);
}

// Long enough, now and then, for what happens every few minutes.
void Faults::freeze() {
  if (world_.now() > kLastFrozen || world_.random().below(4) != 0) return;
  world_.freeze(std::chrono::milliseconds(200 + world_.random().below(400'000)));
}

// A step as of NTP, an hour that a time zone is off, a machine that does not know the year.
void Faults::set_wall_clock(int i) {
  using std::chrono::hours;
  Random& random = world_.random();
  const Duration some = std::chrono::microseconds(random.below(5'000'000));
  const Duration off[] = {some,
                          -some,
                          hours(1) - some,
                          some - hours(1),
                          hours(24 * 365 * 20),
                          some - hours(24 * 365 * 50)};
  world_.set_wall_clock(i, off[random.below(std::size(off))]);
}

void Faults::mend_all() {
  world_.heal();
  world_.set_weather({});
  full_.clear();
  plots_.end();
  for (int i = 0; i < world_.size(); ++i) {
    world_.member(i).schedule.release();
    world_.member(i).files.set_capacity(UINT64_MAX);
    world_.member(i).files.no_more_failures();
    world_.stores(i).mend();
    world_.resume(i);
  }
}

void Faults::start_all() {
  for (int i = 0; i < world_.size(); ++i) start(i);
}

}  // namespace keelson::sim
