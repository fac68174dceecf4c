// The core alone, no I/O: entries through groups in one process. Every member's whole way is timed:
// propose, Ready, append to memory storage, messages, acknowledgements, commit, apply.
//
//   three_members/B   a three-member group, proposals of B entries, 256-byte payloads
//   single_member/B   a single member, the same
//   idle_member       heap of one settled member of three, with its storage and driver's Ready
//
// Counters: entries per second, time per entry, heap allocations per entry (all there are; the
// payload is made beforehand and shared).

#include <benchmark/benchmark.h>
#include <malloc.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "base/check.h"
#include "raft/memory_storage.h"
#include "raft/raw_node.h"

namespace {

uint64_t g_allocations = 0;
uint64_t g_live_bytes = 0;

void* counted(size_t size) {
  void* memory = std::malloc(size);
  if (!memory) throw std::bad_alloc();
  ++g_allocations;
  g_live_bytes += malloc_usable_size(memory);
  return memory;
}

void uncounted(void* memory) {
  g_live_bytes -= memory ? malloc_usable_size(memory) : 0;
  std::free(memory);
}

}  // namespace

void* operator new(size_t size) { return counted(size); }
void operator delete(void* memory) noexcept { uncounted(memory); }
void operator delete(void* memory, size_t) noexcept { uncounted(memory); }

namespace keelson::raft {
namespace {

struct Member {
  MemoryStorage storage;
  SeededRandom random{1};
  std::unique_ptr<RawNode> node;
  Ready ready;
  uint64_t applied = 0;
};

// A group whose members' storage is done with its work at once.
class Group {
 public:
  explicit Group(size_t size, int max_inflight = 256) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->metadata.index = Index(1);
    snapshot->metadata.term = Term(1);
    for (size_t i = 0; i < size; ++i) {
      snapshot->metadata.conf_state.voters.push_back(MemberId(i + 1));
    }
    for (size_t i = 0; i < size; ++i) {
      auto member = std::make_unique<Member>();
      CHECK(member->storage.apply_snapshot(snapshot).ok());
      Config config{.id = MemberId(i + 1), .storage = &member->storage};
      config.async_storage_writes = true;
      config.max_size_per_msg = 1 << 20;
      config.max_inflight_msgs = max_inflight;
      config.random = &member->random;
      member->node = *RawNode::create(config);
      members_.push_back(std::move(member));
    }
    CHECK(members_[0]->node->campaign().ok());
    settle();
    CHECK(members_[0]->node->basic_status().soft_state.state == StateType::kLeader);
  }

  void propose(std::vector<Entry>& entries) {
    CHECK(members_[0]->node->propose(entries).ok());
    settle();
  }

  uint64_t applied() const {
    uint64_t least = ~uint64_t{0};
    for (const auto& member : members_) least = std::min(least, member->applied);
    return least;
  }

  // Old entries would fill the memory in a long run.
  void compact() {
    for (auto& member : members_) {
      const Index last = *member->storage.last_index();
      if (last > Index(100'000)) member->storage.compact(last - 1000).IgnoreError();
    }
  }

 private:
  void settle() {
    for (bool busy = true; busy;) {
      busy = false;
      for (auto& member : members_) {
        while (member->node->has_ready()) {
          work(*member);
          busy = true;
        }
      }
    }
  }

  void work(Member& member) {
    member.node->ready(&member.ready);
    for (Message& message : member.ready.messages) {
      if (message.to == kLocalAppendThread) {
        member.storage.append(message.entries);
        deliver(message.responses);
      } else if (message.to == kLocalApplyThread) {
        member.applied = message.entries.back().index.value;
        deliver(message.responses);
      } else {
        step(std::move(message));
      }
    }
  }

  void deliver(std::vector<Message>& messages) {
    for (Message& message : messages) step(std::move(message));
  }

  void step(Message message) {
    RawNode& to = *members_[message.to.value - 1]->node;
    CHECK(to.step(std::move(message)).ok());
  }

  std::vector<std::unique_ptr<Member>> members_;
};

void through_group(benchmark::State& state, size_t members) {
  const auto batch = static_cast<size_t>(state.range(0));
  Group group(members);
  const Bytes payload = Bytes::build(256, [](char* out) { std::memset(out, 'x', 256); });
  std::vector<Entry> entries(batch);
  uint64_t proposed = 0;
  const uint64_t before = group.applied();
  const uint64_t allocations = g_allocations;
  for (auto _ : state) {
    for (Entry& entry : entries) {
      entry = Entry();
      entry.data = payload;
    }
    group.propose(entries);
    proposed += batch;
    if (proposed % 50'000 < batch) {
      state.PauseTiming();
      group.compact();
      state.ResumeTiming();
    }
  }
  CHECK(group.applied() - before == proposed);
  state.SetItemsProcessed(static_cast<int64_t>(proposed));
  state.counters["per_entry"] = benchmark::Counter(
      static_cast<double>(proposed), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["allocs_per_entry"] =
      static_cast<double>(g_allocations - allocations) / static_cast<double>(proposed);
}

void three_members(benchmark::State& state) { through_group(state, 3); }
void single_member(benchmark::State& state) { through_group(state, 1); }
BENCHMARK(three_members)->Arg(1)->Arg(10)->Arg(100);
BENCHMARK(single_member)->Arg(1)->Arg(10)->Arg(100);

// Bytes that a group of three takes from the heap and keeps, once it has elected and settled.
void idle_member(benchmark::State& state) {
  constexpr size_t kGroups = 1000;
  double bytes = 0;
  for (auto _ : state) {
    const uint64_t before = g_live_bytes;
    std::vector<std::unique_ptr<Group>> groups;
    for (size_t i = 0; i < kGroups; ++i) groups.push_back(std::make_unique<Group>(3));
    bytes = static_cast<double>(g_live_bytes - before);
    benchmark::DoNotOptimize(groups.data());
  }
  state.counters["bytes_per_member"] = bytes / (3.0 * kGroups);
}
BENCHMARK(idle_member)->Iterations(1);

}  // namespace
}  // namespace keelson::raft

BENCHMARK_MAIN();
