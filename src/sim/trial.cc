#include "sim/trial.h"

#include <functional>
#include <initializer_list>
#include <optional>

#include "base/text.h"

namespace keelson::sim {
namespace {

int founders(Random& random) {
  constexpr int kSizes[] = {1, 1, 2, 3, 3, 3, 3, 3, 4, 5, 5, 7};
  return kSizes[random.below(std::size(kSizes))];
}

uint64_t one_of(Random& random, std::initializer_list<uint64_t> choices) {
  return choices.begin()[random.below(choices.size())];
}

// Messages so small that what is sent in one piece elsewhere comes in several.
World::Settings settings(Random& random) {
  return {.pre_vote = random.below(4) != 0,
          .max_message_bytes = random.below(3) == 0 ? uint64_t{200} : uint64_t{1} << 20,
          .lease_checkpoints = random.below(5) == 0};
}

}  // namespace

Trial::Trial(uint64_t seed)
    : random_(seed),
      founders_(founders(random_)),
      settings_(settings(random_)),
      world_(random_, founders_, settings_),
      admin_(world_, founders_),
      faults_(world_, admin_),
      clients_(world_),
      watchers_(world_, 3),
      locks_(world_, 7, settings_.lease_checkpoints),
      releases_(world_),
      accounts_(world_) {}

void Trial::run() {
  const bool clocks_differ = random_.below(3) == 0;
  // One in so many steps; 0: none.
  const uint64_t changes = one_of(random_, {0, 0, 100, 300, 300, 300});
  const uint64_t releases = one_of(random_, {0, 0, 100, 1000});
  const uint64_t accounts = one_of(random_, {0, 0, 0, 4, 15});
  // Where clients seldom ask there is time for what takes seconds: elections, leases.
  const bool quiet = random_.below(4) == 0;
  const uint64_t asks = quiet ? one_of(random_, {30, 100, 300}) : one_of(random_, {2, 3, 3, 10});
  const uint64_t locks = one_of(random_, {2, 3, 8});
  for (int i = 0; i < founders_; ++i) {
    if (clocks_differ) world_.set_clock(i, 950'000 + random_.below(100'000));
    absl::Status started = world_.start(i);
    if (!started.ok()) return world_.verdict().violated(cat("no start: ", message_of(started)));
  }
  const int steps = 3000 + static_cast<int>(random_.below(quiet ? 18'000 : 9000));
  for (int i = 0; i < steps && fine(); ++i) {
    if (random_.below(asks) == 0) ask();
    if (random_.below(4) == 0) watchers_.act();
    if (random_.below(locks) == 0) locks_.act();
    if (changes > 0 && random_.below(changes) == 0) change_members();
    if (releases > 0 && random_.below(releases) == 0) releases_.act();
    if (accounts > 0 && random_.below(accounts) == 0) accounts_.act();
    faults_.act();
    if (!world_.step()) break;
  }
  if (fine()) settle();
}

int Trial::any() { return static_cast<int>(random_.below(static_cast<uint64_t>(world_.size()))); }

// Who led last, and may not know that somebody else does, is asked as often as who leads.
void Trial::ask() {
  int i = any();
  const uint64_t choice = random_.below(8);
  if (choice == 0 && world_.leader() >= 0) i = world_.leader();
  if (choice == 1 && world_.former_leader() >= 0) i = world_.former_leader();
  if (world_.serves(i) && clients_.under_way(i) < 8) clients_.act(i);
}

void Trial::change_members() {
  admin_.act();
  const int newcomer = admin_.take_newcomer();
  if (newcomer >= 0 && random_.below(2) == 0) faults_.start(newcomer);
}

// Once nothing fails any more there is service again, and soon all are equal.
void Trial::settle() {
  auto within = [this](const std::function<bool()>& done, int seconds, std::string_view otherwise) {
    if (!fine() || world_.run_until(done, std::chrono::seconds(seconds))) return;
    world_.verdict().violated(cat(otherwise, " within ", seconds, " s"));
  };
  faults_.mend_all();
  locks_.abandon();
  releases_.end();
  within([this] { return members_are_settled(); }, 60, "the membership is not settled");
  // Who was removed and has not heard of it is stopped.
  for (int i = 0; i < world_.size(); ++i) {
    if (!admin_.is_member(i) && world_.up(i)) world_.kill(i, false);
  }
  for (int i = 0; i < world_.size() && fine(); ++i) {
    if (!admin_.is_member(i) || !world_.up(i)) continue;
    if (!serves(i)) world_.verdict().violated(cat("member ", i, " does not serve"));
  }
  if (settings_.lease_checkpoints) wait_for_leases();
  within([this] { return locks_.nothing_is_held(); }, 60, "leases do not expire");
  within([this] { return releases_.settled(); }, 60, "the version does not settle");
  within([this] { return watchers_.up_to_date(world_.most_advanced()); }, 30,
         "watchers do not hear everything");
  within([this] { return equal(); }, 30, "the members do not become equal");
}

// Minutes, which are too many to live through. Each new leader may begin with whole leases.
void Trial::wait_for_leases() {
  constexpr int kPatience = 3;
  for (int i = 0; i < kPatience && fine() && !locks_.nothing_is_held(); ++i) {
    world_.freeze(std::chrono::minutes(16));
    world_.run_until([this] { return locks_.nothing_is_held(); }, std::chrono::seconds(20));
  }
}

// The change under way is made, and all members run. A fault that struck before may still end one.
bool Trial::members_are_settled() {
  faults_.start_all();
  if (!admin_.settled()) {
    admin_.finish();
    return false;
  }
  for (int i = 0; i < world_.size(); ++i) {
    if (admin_.is_member(i) && !world_.serves(i) && world_.life(i) != World::Life::kLost) {
      return false;
    }
  }
  return true;
}

// A put or a read may be lost with a message; then it is asked again.
bool Trial::serves(int i) {
  for (int attempt = 0; attempt < 4; ++attempt) {
    bool armed = true, written = false, seen = false;
    clients_.disarm(i, [&] { armed = false; });
    world_.run_until([&] { return !armed; }, std::chrono::seconds(8));
    clients_.put(i, [&] { written = true; });
    clients_.read(i, [&] { seen = true; });
    const bool both = world_.run_until([&] { return written && seen; }, std::chrono::seconds(8));
    world_.run_until([&] { return clients_.under_way(i) == 0; }, std::chrono::seconds(8));
    if (both) return true;
  }
  return false;
}

bool Trial::equal() {
  std::optional<uint64_t> applied;
  std::optional<uint32_t> hash;
  auto differs = [](auto& of_all, auto mine) {
    if (!of_all) of_all = mine;
    return *of_all != mine;
  };
  for (int pass = 0; pass < 2; ++pass) {
    for (int i = 0; i < world_.size(); ++i) {
      if (!admin_.is_member(i) || !world_.serves(i)) continue;
      node::Node& node = world_.member(i).node();
      if (pass == 0 && differs(applied, node.state().applied.load())) return false;
      if (pass == 1 && differs(hash, *backend::hash_all(*node.backend()))) return false;
    }
  }
  return true;
}

}  // namespace keelson::sim
