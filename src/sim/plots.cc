#include "sim/plots.h"

#include <utility>
#include <vector>

namespace keelson::sim {

using Deed = World::Deed;

namespace {

constexpr uint64_t kPauses[] = {200, 700, 3000};

}  // namespace

Plots::Plots(World& world, const Admin& admin, std::function<void(int)> start)
    : world_(world),
      admin_(admin),
      start_(std::move(start)),
      alone_(one_in(8)),
      stalls_candidates_(!alone_ && one_in(4)),
      hushes_leaders_(!alone_ && one_in(4)),
      cycles_power_(!alone_ && one_in(4)),
      pauses_leaders_(alone_ || one_in(4)),
      splits_learners_(!alone_ && one_in(2)),
      leaves_behind_(!alone_ && one_in(3)),
      muffles_leaders_(!alone_ && one_in(4)),
      slows_starts_(!alone_ && one_in(2)),
      slows_stores_(!alone_ && one_in(2)),
      stalls_followers_(!alone_ && one_in(6)),
      covers_changes_(!alone_ && one_in(2)),
      pause_(kPauses[world_.random().below(std::size(kPauses))]) {}

MonotonicTime Plots::in_ms(uint64_t least, uint64_t more) {
  return world_.now() + std::chrono::milliseconds(least + world_.random().below(more));
}

int Plots::any() {
  return static_cast<int>(world_.random().below(static_cast<uint64_t>(world_.size())));
}

void Plots::act() {
  const World::Done done = world_.take_done();
  carry_on();
  const Term term = world_.leader_term();
  if (std::exchange(term_, term) != term) leads(world_.leader());
  if (done.member >= 0 && world_.serves(done.member)) note(done);
  if (pauses_leaders_) pause_leader();
  if (splits_learners_) leave_with_learners();
  if (leaves_behind_) leave_one_behind();
  if (slows_starts_) slow_start();
  if (slows_stores_) slow_store();
  if (covers_changes_) cover_a_change();
}

void Plots::note(const World::Done& done) {
  if (done.deed == Deed::kAsksForVotes) asks_for_votes(done.member);
  if (done.deed == Deed::kInstalls && is_covered_there(done.member)) install_covered();
  if (done.deed == Deed::kRenews && pauses_leaders_) renews(done.member);
  if (done.deed == Deed::kLearnsVersions && stalls_followers_ && one_in(3)) {
    stall_followers(done.member);
  }
  cycle_power_after(done);
}

// Who has taken a snapshot says so as of entries.
void Plots::cycle_power_after(const World::Done& done) {
  switch (done.deed) {
    case Deed::kVotes:
    case Deed::kMarks:
      if (cycles_power_ && one_in(6)) cycle_power(done.member);
      return;
    case Deed::kInstalls:
      if (cycles_power_ && one_in(6)) return cycle_power(done.member);
      installing_ = done.member;
      return;
    case Deed::kAcceptsAppend:
      if (installing_ != done.member) return;
      installing_ = -1;
      if ((cycles_power_ || leaves_behind_) && one_in(2)) cycle_power(done.member);
      return;
    case Deed::kApplies:
      if (!cycles_power_ || doomed_ >= 0 || !one_in(100)) return;
      doomed_ = done.member;
      doomed_for_ = world_.random().below(20);
      return;
    case Deed::kAsksForVotes:
    case Deed::kLearnsVersions:
    case Deed::kRenews:
    case Deed::kOther:
      return;
  }
}

// By the time that it leads its first entry is on its way.
void Plots::asks_for_votes(int i) {
  if (hushes_leaders_ && !one_in(4)) {
    world_.hush(i, world_.random().below(2) == 0 ? 0 : world_.random().below(4));
    hushed_until_ = in_ms(4000, 4000);
  }
  if (muffles_leaders_ && !one_in(3)) {
    world_.muffle(i);
    muffled_until_ = in_ms(500, 4000);
  }
  if (!stalls_candidates_ || candidate_ >= 0 || !one_in(2)) return;
  world_.member(i).schedule.hold(world_.member(i).schedule.log);
  world_.hush(i, world_.random().below(3));
  candidate_ = i;
  process_ = world_.process(i);
  candidate_until_ = in_ms(500, 2000);
}

void Plots::leads(int i) {
  if (i < 0) return;
  for (int other = 0; other < world_.size(); ++other) {
    if (other == i) continue;
    world_.unhush(other);
    world_.unmuffle(other);
  }
  if (i == candidate_) candidate_until_ = in_ms(20, 300);
  if (paused_ >= 0 && paused_ != i && !one_in(4)) resume_at_ = in_ms(2000, 5000);
  if (slows_starts_ && world_.serves(i) && one_in(2)) slow_down(i);
  if (cycles_power_ && one_in(3)) cycle_power(i);
}

void Plots::carry_on() {
  const MonotonicTime now = world_.now();
  if (candidate_ >= 0 && now >= candidate_until_) end_candidacy();
  if (hushes_leaders_ && now >= hushed_until_) {
    for (int i = 0; i < world_.size(); ++i) world_.unhush(i);
    hushed_until_ = in_ms(8000, 1);
  }
  if (muffles_leaders_ && now >= muffled_until_) {
    for (int i = 0; i < world_.size(); ++i) world_.unmuffle(i);
    muffled_until_ = in_ms(8000, 1);
  }
  if (doomed_ >= 0 && doomed_for_-- == 0) cycle_power(std::exchange(doomed_, -1));
  if (mute_ < 0 && !stalled_.empty() && now >= mute_at_) {
    mute_ = stalled_.front();
    world_.say_version(mute_, std::nullopt);
  }
  if (!stalled_.empty() && now >= stalled_until_) release_followers();
  if (paused_ >= 0 && now >= resume_at_) world_.resume(std::exchange(paused_, -1));
  if (split_ && now >= heal_at_) {
    split_ = false;
    world_.heal();
  }
}

void Plots::end_candidacy() {
  const int i = std::exchange(candidate_, -1);
  world_.unhush(i);
  if (world_.process(i) != process_) return;
  if (world_.leader() == i) return cycle_power(i);
  world_.member(i).schedule.release();
}

void Plots::pause_leader() {
  if (paused_ >= 0 || world_.leader() < 0 || !one_in(pause_)) return;
  // Where nobody holds a lock, or nobody else can lead, there is less to lose.
  if (!(is_lock_held() && others_can_lead()) && !one_in(4)) return;
  pause(world_.leader());
}

void Plots::pause(int leader) {
  paused_ = leader;
  resume_at_ = in_ms(1500, 8000);
  if (!world_.serves(paused_)) return;
  one_in(3) ? world_.suspend(paused_) : world_.pause(paused_);
}

// Whoever leads next is asked to renew that lease, too, while it runs out here.
void Plots::renews(int i) {
  if (paused_ < 0 && i == world_.leader() && others_can_lead() && one_in(20)) pause(i);
}

bool Plots::is_lock_held() const {
  const History& history = world_.history();
  const History::State there = history.state(history.newest());
  const auto first = there.lower_bound("lock");
  return first != there.end() && first->first.starts_with("lock");
}

bool Plots::others_can_lead() const {
  int voters = 0, others = 0;
  for (int i = 0; i < world_.size(); ++i) {
    if (!admin_.is_member(i) || admin_.is_learner(i)) continue;
    ++voters;
    if (i != world_.leader() && world_.serves(i)) ++others;
  }
  return others > voters / 2;
}

void Plots::leave_with_learners() {
  if (split_ || world_.leader() < 0 || !one_in(pause_)) return;
  std::vector<int> side{world_.leader()};
  for (int i = 0; i < world_.size(); ++i) {
    if (admin_.is_learner(i) && world_.serves(i)) side.push_back(i);
  }
  if (side.size() < 2) return;
  world_.split(side);
  split_ = true;
  heal_at_ = in_ms(1500, 3000);
}

// Until the others have let go of so much of the log that it needs a snapshot.
void Plots::leave_one_behind() {
  if (split_ || world_.leader() < 0 || !one_in(pause_)) return;
  const int i = any();
  if (i == world_.leader() || !world_.serves(i)) return;
  world_.split({i});
  split_ = true;
  heal_at_ = in_ms(1000, 4000);
}

void Plots::cycle_power(int i) {
  if (!world_.serves(i)) return;
  world_.kill(i, true);
  start_(i);
}

void Plots::slow_start() {
  if (slow_ >= 0 && world_.now() >= slow_until_) {
    node::Schedule& schedule = world_.member(std::exchange(slow_, -1)).schedule;
    schedule.release(schedule.log);
  }
  begun_.resize(static_cast<size_t>(world_.size()));
  for (int i = 0; i < world_.size(); ++i) {
    const uint64_t process = world_.process(i);
    if (std::exchange(begun_[static_cast<size_t>(i)], process) == process) continue;
    if (world_.serves(i) && !one_in(3)) slow_down(i);
  }
}

// One at a time.
void Plots::slow_down(int i) {
  if (slow_ >= 0 || !stalled_.empty()) return;
  world_.member(i).schedule.hold(world_.member(i).schedule.log);
  slow_ = i;
  slow_until_ = in_ms(20, 1500);
}

// As those do that go on meanwhile.
void Plots::slow_store() {
  if (slow_store_ >= 0) {
    if (world_.now() < slow_store_until_) return;
    world_.stores(std::exchange(slow_store_, -1)).be_prompt();
  } else if (one_in(100)) {
    const int i = any();
    if (!world_.serves(i)) return;
    world_.stores(i).be_slow();
    slow_store_ = i;
    slow_store_until_ = in_ms(20, 2000);
  }
}

void Plots::stall_followers(int leader) {
  if (!stalled_.empty()) return;
  for (int i = 0; i < world_.size(); ++i) {
    if (i == leader || !world_.serves(i)) continue;
    world_.member(i).schedule.hold(world_.member(i).schedule.log);
    stalled_.push_back(i);
  }
  mute_at_ = in_ms(500, 8000);
  stalled_until_ = in_ms(5000, 12'000);
}

void Plots::release_followers() {
  for (int i : std::exchange(stalled_, {})) {
    world_.member(i).schedule.release(world_.member(i).schedule.log);
  }
  if (mute_ >= 0) world_.say_version(std::exchange(mute_, -1), membership::kOurVersion);
}

bool Plots::is_covered_there(int i) const { return covering_ == Covering::kHears && covered_ == i; }

// The change is on its way to a member that does not apply it. When the others have, that one hears
// of nothing until they have let go of so much of the log that it needs a snapshot.
void Plots::cover_a_change() {
  const bool over = std::exchange(changes_, admin_.changes()) != admin_.changes();
  const bool changing = !admin_.settled();
  const bool began = changing && (over || !changing_);
  changing_ = changing;
  if (covering_ == Covering::kNone) {
    if (began) hold_before_change();
    return;
  }
  const bool due = world_.now() >= covering_until_;
  if (!world_.serves(covered_) || world_.process(covered_) != covered_process_) {
    if (covering_ == Covering::kCutOff) world_.heal();
    covering_ = Covering::kNone;
  } else if (covering_ == Covering::kWaits && over) {
    covering_ = Covering::kCutting;
    covering_until_ = in_ms(20, 200);
  } else if (covering_ == Covering::kCutting && due) {
    world_.split({covered_});
    covering_ = Covering::kCutOff;
    covering_until_ = in_ms(10'000, 10'000);
  } else if (covering_ == Covering::kCutOff && (due || needs_snapshot(covered_))) {
    world_.heal();
    covering_ = Covering::kHears;
    covering_until_ = in_ms(5000, 1);
  } else if (due) {
    node::Schedule& schedule = world_.member(covered_).schedule;
    schedule.release(covering_ == Covering::kMarks ? schedule.log : schedule.apply);
    covering_ = Covering::kNone;
  }
}

// Far more than anybody keeps of the log has been made without it.
bool Plots::needs_snapshot(int i) const {
  constexpr uint64_t kMany = 45;
  const int newest = world_.most_advanced();
  if (newest < 0) return false;
  return world_.member(newest).node().state().applied.load() >
         world_.member(i).node().state().committed.load() + kMany;
}

void Plots::install_covered() {
  covering_ = Covering::kInstalls;
  covering_until_ = in_ms(0, 300);
  if (one_in(3)) return;
  node::Schedule& schedule = world_.member(covered_).schedule;
  schedule.hold(schedule.log);
  schedule.release(schedule.apply);
  covering_ = Covering::kMarks;
}

void Plots::hold_before_change() {
  const int i = any();
  if (!world_.serves(i) || i == world_.leader()) return;
  world_.member(i).schedule.hold(world_.member(i).schedule.apply);
  covering_ = Covering::kWaits;
  covered_ = i;
  covered_process_ = world_.process(i);
  covering_until_ = in_ms(4000, 1);
}

void Plots::end() {
  candidate_ = paused_ = slow_ = slow_store_ = installing_ = doomed_ = -1;
  mute_ = -1;
  split_ = false;
  covering_ = Covering::kNone;
  stalled_.clear();
  for (int i = 0; i < world_.size(); ++i) {
    world_.unhush(i);
    world_.unmuffle(i);
  }
}

}  // namespace keelson::sim
