// Whether verdict.h sees what it is there for: histories of a store that does everything right have
// nothing wrong with them, and each planted fault is told.

#include "tests/cluster/verdict.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"

namespace keelson::cluster {
namespace {

constexpr uint64_t kKeys = 4;
constexpr int kClients = 5;
constexpr int kOperations = 200;

// Clients of one right store. An operation takes effect at some moment between its begin and its
// end; the answers of some writes get lost, whether they took effect or not.
class RightStore {
 public:
  explicit RightStore(uint64_t seed) : random_(seed) {}

  Seen run() {
    Seen seen;
    std::vector<int64_t> free(kClients, 0);  // when each client is done with its last
    for (int number = 0; number < kOperations; ++number) {
      // The moments of effect are in order; the operations around them overlap.
      moment_ += 1 + static_cast<int64_t>(random_.below(20));
      const size_t client = random_.below(kClients);
      if (free[client] >= moment_) continue;
      Operation operation = take_effect(cat(client, "/", number), &seen);
      const int64_t most = moment_ - free[client] - 1;
      operation.began = moment_ - static_cast<int64_t>(random_.below(most + 1));
      operation.ended = moment_ + static_cast<int64_t>(random_.below(60));
      free[client] = operation.ended;
      if (operation.write && random_.below(10) == 0) {
        seen.doubtful.insert(operation.value);
      } else {
        seen.done.push_back(std::move(operation));
      }
      if (random_.below(20) == 0) seen.doubtful.insert(cat("never/", number));
    }
    return seen;
  }

 private:
  Operation take_effect(std::string value, Seen* seen) {
    Operation operation{.write = random_.below(2) == 0};
    operation.key = cat("key", random_.below(kKeys));
    if (operation.write) {
      operation.value = std::move(value);
      revision_ += 1 + static_cast<int64_t>(random_.below(2));  // others write as well
      store_[operation.key] = operation.value;
      seen->history.push_back({revision_, operation.key, operation.value});
    } else {
      operation.value = store_[operation.key];
    }
    operation.revision = revision_;
    return operation;
  }

  SeededRandom random_;
  int64_t moment_ = 0, revision_ = 1;
  std::map<std::string, std::string> store_;
};

using Fault = std::function<bool(Seen*, SeededRandom*)>;  // false: no place for it here

// One of the operations that `wanted` likes.
Operation* some(Seen* seen, SeededRandom* random,
                const std::function<bool(const Operation&)>& wanted) {
  std::vector<Operation*> found;
  for (Operation& done : seen->done) {
    if (wanted(done)) found.push_back(&done);
  }
  return found.empty() ? nullptr : found[random->below(found.size())];
}

Event* event_of(Seen* seen, const Operation& write) {
  for (Event& event : seen->history) {
    if (event.revision == write.revision) return &event;
  }
  return nullptr;
}

const Event* last_of(const Seen& seen, const std::string& key, int64_t before) {
  const Event* last = nullptr;
  for (const Event& event : seen.history) {
    if (event.key == key && event.revision < before) last = &event;
  }
  return last;
}

bool is_write(const Operation& done) { return done.write; }

bool lose_a_write(Seen* seen, SeededRandom* random) {
  Operation* lost = some(seen, random, is_write);
  seen->history.erase(seen->history.begin() + (event_of(seen, *lost) - seen->history.data()));
  return true;
}

// As a proposal that is repeated by who got no answer.
bool do_it_twice(Seen* seen, SeededRandom* random) {
  Event again = *event_of(seen, *some(seen, random, is_write));
  again.revision = seen->history.back().revision + 1;
  seen->history.push_back(again);
  return true;
}

bool write_another_value(Seen* seen, SeededRandom* random) {
  event_of(seen, *some(seen, random, is_write))->value = "somebody's";
  return true;
}

bool write_another_key(Seen* seen, SeededRandom* random) {
  event_of(seen, *some(seen, random, is_write))->key = "elsewhere";
  return true;
}

bool make_one_up(Seen* seen, SeededRandom*) {
  seen->history.push_back({seen->history.back().revision + 1, "key0", "out of nothing"});
  return true;
}

// Two leaders, each of which has its own entry there.
bool acknowledge_two_at_one(Seen* seen, SeededRandom* random) {
  Operation other = *some(seen, random, is_write);
  other.value = "the other leader's";
  seen->done.push_back(other);
  return true;
}

// A member that was left behind answers as it stands: all of the answer is of the past.
bool read_the_past(Seen* seen, SeededRandom* random) {
  // Old enough that somebody knew more before the read began.
  auto has_past = [&](const Operation& done) {
    const Event* last = last_of(*seen, done.key, done.revision + 1);
    if (done.write || last == nullptr) return false;
    for (const Operation& other : seen->done) {
      if (other.ended < done.began && other.revision >= last->revision) return true;
    }
    return false;
  };
  Operation* read = some(seen, random, has_past);
  if (read == nullptr) return false;
  const int64_t then = last_of(*seen, read->key, read->revision + 1)->revision - 1;
  const Event* before = last_of(*seen, read->key, then + 1);
  read->revision = then;
  read->value = before == nullptr ? "" : before->value;
  return true;
}

// The header is of now, the value is not: a reader that does not hold still.
bool read_a_stale_value(Seen* seen, SeededRandom* random) {
  Operation* read = some(seen, random, [&](const Operation& done) {
    return !done.write && last_of(*seen, done.key, done.revision + 1) != nullptr;
  });
  if (read == nullptr) return false;
  const Event* last = last_of(*seen, read->key, read->revision + 1);
  const Event* before = last_of(*seen, read->key, last->revision);
  read->value = before == nullptr ? "" : before->value;
  return true;
}

// What was not committed yet, and never was.
bool read_what_is_not_there(Seen* seen, SeededRandom* random) {
  Operation* read = some(seen, random, [](const Operation& done) { return !done.write; });
  if (read == nullptr) return false;
  read->value = "never/0";
  return true;
}

// A write that began when the other had been acknowledged stands before it.
bool turn_two_writes_round(Seen* seen, SeededRandom* random) {
  std::vector<std::pair<Operation*, Operation*>> apart;
  for (Operation& first : seen->done) {
    for (Operation& second : seen->done) {
      if (first.write && second.write && first.ended < second.began) {
        apart.emplace_back(&first, &second);
      }
    }
  }
  if (apart.empty()) return false;
  auto [first, second] = apart[random->below(apart.size())];
  Event *a = event_of(seen, *first), *b = event_of(seen, *second);
  std::swap(a->key, b->key);
  std::swap(a->value, b->value);
  std::swap(first->revision, second->revision);
  return true;
}

bool turn_the_history_round(Seen* seen, SeededRandom*) {
  std::swap(seen->history.front(), seen->history.back());
  return true;
}

TEST(Verdict, ARightStoreHasNothingWrong) {
  for_each_seed(300, [](uint64_t seed) {
    for (const std::string& wrong : wrongs_of(RightStore(seed).run())) ADD_FAILURE() << wrong;
  });
}

TEST(Verdict, EachPlantedFaultIsTold) {
  const std::map<std::string, Fault> faults{
      {"a lost write", lose_a_write},
      {"a write that is done twice", do_it_twice},
      {"another value", write_another_value},
      {"another key", write_another_key},
      {"a write that nobody asked for", make_one_up},
      {"two writes at a revision", acknowledge_two_at_one},
      {"a read of the past", read_the_past},
      {"a stale value", read_a_stale_value},
      {"a value that never was", read_what_is_not_there},
      {"writes turned round", turn_two_writes_round},
      {"a history turned round", turn_the_history_round},
  };
  std::map<std::string, int> planted;
  for_each_seed(300, [&](uint64_t seed) {
    SeededRandom random(seed);
    for (const auto& [name, plant] : faults) {
      Seen seen = RightStore(seed).run();
      if (!plant(&seen, &random)) continue;
      ++planted[name];
      EXPECT_FALSE(wrongs_of(seen).empty()) << name;
    }
  });
  for (const auto& [name, plant] : faults) EXPECT_GT(planted[name], 0) << name;
}

}  // namespace
}  // namespace keelson::cluster
