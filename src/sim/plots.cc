#include "sim/plots.h"

#include <utility>
#include <vector>

namespace keelson::sim {

using raft::MessageType;

namespace {

constexpr uint64_t kPauses[] = {300, 1000, 4000};

}  // namespace

Plots::Plots(World& world, const Admin& admin, std::function<void(int)> start)
    : world_(world),
      admin_(admin),
      start_(std::move(start)),
      stalls_candidates_(one_in(4)),
      hushes_leaders_(one_in(4)),
      cycles_power_(one_in(4)),
      pauses_leaders_(one_in(4)),
      splits_learners_(one_in(2)),
      pause_(kPauses[world_.random().below(std::size(kPauses))]) {}

MonotonicTime Plots::in_ms(uint64_t least, uint64_t more) {
  return world_.now() + std::chrono::milliseconds(least + world_.random().below(more));
}

void Plots::act() {
  const World::Said said = world_.take_said();
  carry_on();
  const int leader = world_.leader();
  if (std::exchange(leader_, leader) != leader) leads(leader);
  if (said.member >= 0 && world_.serves(said.member)) has_said(said);
  if (pauses_leaders_) pause_leader();
  if (splits_learners_) leave_with_learners();
}

void Plots::has_said(const World::Said& said) {
  if (said.type == MessageType::kMsgVote) asks_for_votes(said.member);
  const bool counts = said.type == MessageType::kMsgVoteResp || said.type == MessageType::kMsgSnap;
  if (counts && cycles_power_ && one_in(6)) cycle_power(said.member);
}

// By the time that it leads its first entry is on its way.
void Plots::asks_for_votes(int i) {
  if (hushes_leaders_ && !one_in(4)) {
    world_.hush(i, world_.random().below(2) == 0 ? 0 : world_.random().below(4));
    hushed_until_ = in_ms(4000, 4000);
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
    if (other != i) world_.unhush(other);
  }
  if (i == candidate_) candidate_until_ = in_ms(20, 300);
  if (cycles_power_ && one_in(3)) cycle_power(i);
}

void Plots::carry_on() {
  const MonotonicTime now = world_.now();
  if (candidate_ >= 0 && now >= candidate_until_) end_candidacy();
  if (hushes_leaders_ && now >= hushed_until_) {
    for (int i = 0; i < world_.size(); ++i) world_.unhush(i);
    hushed_until_ = in_ms(8000, 1);
  }
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
  paused_ = world_.leader();
  resume_at_ = in_ms(1500, 4000);
  if (world_.serves(paused_)) world_.pause(paused_);
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

void Plots::cycle_power(int i) {
  if (!world_.serves(i)) return;
  world_.kill(i, true);
  start_(i);
}

void Plots::end() {
  candidate_ = paused_ = -1;
  split_ = false;
  for (int i = 0; i < world_.size(); ++i) world_.unhush(i);
}

}  // namespace keelson::sim
