// When batches go, what becomes of those that cannot, and that nothing grows meanwhile; with time
// in the hands of the test.

#include "trace/batcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>

#include "base/log.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "trace/test_spans.h"

namespace keelson::trace {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

constexpr auto kTaken = Sent::What::kTaken;
constexpr auto kTryAgain = Sent::What::kTryAgain;
constexpr auto kRefused = Sent::What::kRefused;

class Collector final : public Exporter {
 public:
  explicit Collector(TestClock& clock) : clock_(clock) {}

  Sent send(const Batch& batch, Duration patience) override {
    EXPECT_FALSE(batch.empty());
    tries.push_back(batch.size());
    patiences.push_back(patience);
    if (while_sending) while_sending();
    clock_.pass(std::min(takes, patience));
    Sent answer = {.what = kTaken};
    if (!answers.empty()) {
      answer = answers.front();
      if (answers.size() > 1 || !last_for_ever) answers.pop_front();
    }
    if (answer.what == kTaken) {
      for (const auto& span : batch) got.push_back(span->context().span);
    }
    return answer;
  }
  void cancel() override {}

  std::vector<size_t> tries;
  std::vector<Duration> patiences;
  std::vector<SpanId> got;
  std::deque<Sent> answers;  // the default: taken
  bool last_for_ever = false;
  Duration takes{0};
  std::function<void()> while_sending;

 private:
  TestClock& clock_;
};

class Lines final : public log::Sink {
 public:
  Lines() { log::set_sink(this); }
  ~Lines() override { log::set_sink(nullptr); }
  bool enabled(log::Level) const override { return true; }
  void write(log::Level, std::source_location, std::string_view message,
             log::Fields fields) override {
    std::string line(message);
    for (const log::Field& field : fields) line += cat(" ", field.key, "=", field.value);
    lines.push_back(std::move(line));
  }
  std::vector<std::string> lines;
};

struct Batching : testing::Test {
  TestClock clock;
  TestLane lane{clock};
  SeededRandom random{1};
  Collector collector{clock};
  Lines log;
  Batcher::Options options{.queue = {.spans = 40, .batch_spans = 10}};
  std::unique_ptr<Batcher> made;
  std::unique_ptr<Tracer> tracer;
  std::vector<SpanId> ended;

  Batcher& batcher() {
    if (!made) {
      made = std::make_unique<Batcher>(options, lane, clock, random, collector);
      tracer = std::make_unique<Tracer>(Tracer::Options{.samples_per_million = Sampler::kMillion},
                                        clock, *made);
      made->start();
      lane.run();
    }
    return *made;
  }
  void end(int spans) {
    batcher();
    for (int i = 0; i < spans; ++i) {
      SpanPtr span = tracer->begin("put");
      ended.push_back(span->context().span);
    }
  }
};

TEST_F(Batching, AWholeBatchGoesAtOnceAndTheRestInTime) {
  end(9);
  lane.run();
  EXPECT_THAT(collector.tries, IsEmpty());
  end(1);
  lane.run();
  EXPECT_THAT(collector.tries, ElementsAre(10));
  end(25);
  lane.run();
  EXPECT_THAT(collector.tries, ElementsAre(10, 10, 10));
  lane.pass(milliseconds(4999));
  EXPECT_EQ(collector.tries.size(), 3u);
  lane.pass(milliseconds(1));
  EXPECT_THAT(collector.tries, ElementsAre(10, 10, 10, 5));
  EXPECT_EQ(collector.got, ended);
  EXPECT_EQ(batcher().counts().sent, 35u);
  EXPECT_THAT(log.lines, IsEmpty());
}

TEST_F(Batching, TimersDoNotPileUp) {
  for (int i = 0; i < 1000; ++i) {
    end(10);
    lane.pass(milliseconds(1));
  }
  EXPECT_EQ(collector.tries.size(), 1000u);
  EXPECT_EQ(lane.timers(), 1u);
}

TEST_F(Batching, ASlowCollectorCostsSpansAndNoMemory) {
  collector.while_sending = [&] { end(30); };  // three times what goes
  collector.takes = seconds(1);
  end(10);
  lane.run(100);
  const size_t before = ended.size();
  bool done = false;
  batcher().close(seconds(5), [&] { done = true; });
  lane.run();
  EXPECT_TRUE(done) << "the end comes between two batches";
  EXPECT_THAT(log.lines, Not(IsEmpty()));
  const Batcher::Counts counts = batcher().counts();
  EXPECT_GT(counts.dropped, 0u);
  EXPECT_EQ(counts.sent + counts.dropped + counts.failed, before);
}

TEST_F(Batching, WhatCanBeTriedAgainIsTriedAgainFirst) {
  collector.answers = {{.what = kTryAgain, .error = "connection refused"}};
  end(10);
  lane.run();
  end(20);
  lane.pass(milliseconds(2499));
  EXPECT_THAT(collector.tries, ElementsAre(10)) << "half of the first pause is the least";
  lane.pass(seconds(5));
  EXPECT_THAT(collector.tries, ElementsAre(10, 10, 10, 10));
  EXPECT_EQ(collector.got, ended);
  EXPECT_THAT(log.lines, IsEmpty()) << "nothing was lost";
}

TEST_F(Batching, ABatchHasSoMuchTimeAndIsGivenUp) {
  collector.answers = {{.what = kTryAgain, .error = "connection refused"}};
  collector.last_for_ever = true;
  end(10);
  lane.pass(seconds(11));
  EXPECT_GE(collector.tries.size(), 2u);
  EXPECT_LE(collector.tries.size(), 4u);
  for (Duration patience : collector.patiences) EXPECT_LE(patience, seconds(10));
  EXPECT_EQ(batcher().counts().failed, 10u);
  EXPECT_THAT(log.lines, ElementsAre("could not export all spans dropped=0 failed=10 "
                                     "error=connection refused"));
  // The next one has its own time.
  const size_t before = collector.tries.size();
  end(10);
  lane.run();
  EXPECT_EQ(collector.tries.size(), before + 1);
  EXPECT_EQ(collector.patiences.back(), seconds(10));
}

TEST_F(Batching, ThePauseIsTheCollectorsIfThatIsLonger) {
  collector.answers = {{.what = kTryAgain, .pause = seconds(9)}};
  end(10);
  lane.pass(milliseconds(8999));
  EXPECT_EQ(collector.tries.size(), 1u);
  lane.pass(milliseconds(1));
  EXPECT_EQ(collector.tries.size(), 2u);
  EXPECT_EQ(batcher().counts().sent, 10u);

  collector.answers = {{.what = kTryAgain, .pause = minutes(10)}};
  end(10);
  lane.run();
  EXPECT_EQ(batcher().counts().failed, 10u) << "it will not be there in time";
  collector.answers = {{.what = kTryAgain, .pause = Duration::max()}};
  end(10);
  lane.run();
  EXPECT_EQ(batcher().counts().failed, 20u);
}

TEST_F(Batching, WhatIsRefusedIsNotTriedAgain) {
  collector.answers = {{.what = kRefused, .error = "who are you?"}};
  end(10);
  lane.pass(minutes(1));
  EXPECT_THAT(collector.tries, ElementsAre(10));
  EXPECT_EQ(batcher().counts().failed, 10u);
}

TEST_F(Batching, PartOfABatchMayBeRejected) {
  collector.answers = {{.what = kTaken, .rejected = 3, .error = "too old"},
                       {.what = kTaken, .rejected = -7},
                       {.what = kTaken, .rejected = INT64_MAX},
                       {.what = kTaken, .error = "a word of warning"}};
  for (int i = 0; i < 4; ++i) {
    end(10);
    lane.pass(minutes(2));
  }
  EXPECT_EQ(batcher().counts().sent, 7u + 10u + 0u + 10u);
  EXPECT_EQ(batcher().counts().failed, 3u + 10u);
  EXPECT_THAT(log.lines, ElementsAre("could not export all spans dropped=0 failed=3 error=too old",
                                     "could not export all spans dropped=0 failed=10 error=",
                                     "the spans' collector warns dropped=0 failed=0 "
                                     "error=a word of warning"));
}

TEST_F(Batching, TheLogHearsOnceAMinute) {
  collector.answers = {{.what = kRefused, .error = "no"}};
  collector.last_for_ever = true;
  for (int i = 0; i < 600; ++i) {
    end(10);
    lane.pass(seconds(1));
  }
  EXPECT_GE(log.lines.size(), 9u);
  EXPECT_LE(log.lines.size(), 11u);
}

TEST_F(Batching, TheEndSendsWhatThereIsOnce) {
  end(25);
  bool done = false;
  batcher().close(seconds(5), [&] { done = true; });
  lane.run();
  EXPECT_TRUE(done);
  EXPECT_EQ(collector.got, ended);
  end(10);
  lane.pass(minutes(1));
  EXPECT_EQ(collector.got.size(), 25u) << "what comes later is too late";
}

TEST_F(Batching, TheEndWaitsForNoPause) {
  collector.answers = {{.what = kTryAgain}};
  end(15);
  lane.run();
  bool done = false;
  batcher().close(seconds(5), [&] { done = true; });
  lane.run();
  EXPECT_TRUE(done);
  EXPECT_EQ(collector.got, ended);
  lane.pass(minutes(1));
  EXPECT_THAT(collector.tries, ElementsAre(10, 10, 5));
}

TEST_F(Batching, TheEndHasATime) {
  collector.takes = minutes(1);
  collector.answers = {{.what = kTryAgain, .error = "deadline exceeded"}};
  collector.last_for_ever = true;
  end(9);
  const MonotonicTime start = clock.now();
  bool done = false;
  batcher().close(seconds(5), [&] { done = true; });
  lane.run();
  EXPECT_TRUE(done);
  EXPECT_EQ(clock.now() - start, seconds(5));
  EXPECT_EQ(batcher().counts().failed, 9u);
}

// However the collector answers, each span is sent once, lost and counted, or still waits.
TEST_F(Batching, EverySpanIsAccountedFor) {
  for_each_seed(100, [this](uint64_t seed) {
    made.reset();
    ended.clear();
    collector.got.clear();
    lane.clear();
    SeededRandom chance(seed);
    options.queue.spans = 20 + chance.below(50);
    options.queue.batch_spans = 1 + chance.below(20);
    // Fewer than go, or it would never end.
    collector.while_sending = [&] {
      end(static_cast<int>(chance.below(options.queue.batch_spans)));
    };
    for (int round = 0; round < 200; ++round) {
      end(static_cast<int>(chance.below(15)));
      collector.takes = milliseconds(chance.below(3000));
      collector.answers = {{.what = static_cast<Sent::What>(chance.below(3))}};
      lane.pass(milliseconds(chance.below(2000)));
    }
    collector.answers.clear();
    collector.takes = Duration(0);
    collector.while_sending = nullptr;
    bool done = false;
    batcher().close(seconds(5), [&] { done = true; });
    lane.run();
    EXPECT_TRUE(done);
    const Batcher::Counts counts = batcher().counts();
    EXPECT_EQ(collector.got.size(), counts.sent);
    EXPECT_EQ(counts.sent + counts.dropped + counts.failed, ended.size());
    // In order, and none twice.
    auto at = ended.begin();
    for (SpanId id : collector.got) {
      at = std::find(at, ended.end(), id);
      ASSERT_NE(at, ended.end());
      ++at;
    }
  });
}

}  // namespace
}  // namespace keelson::trace
