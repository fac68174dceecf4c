#include "node/term_starts.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "base/random.h"
#include "base/test_seeds.h"

namespace keelson::node {
namespace {

// Beside the term of each entry by itself: logs that grow, and whose ends give way to newer terms.
TEST(TermStartsRandom, KnowsTheTermOfEachEntry) {
  for_each_seed({.count = 50}, [](uint64_t seed) {
    SeededRandom random(seed);
    const Index begin(random.below(5));
    Term term(random.below(3));
    TermStarts terms(begin, term);
    std::map<Index, Term> twin{{begin, term}};
    for (int step = 0; step < 200; ++step) {
      if (random.below(8) == 0) {
        const Index last = twin.rbegin()->first;
        const Index before =
            twin.begin()->first + random.below((last - twin.begin()->first) / 2 + 1);
        twin.erase(twin.begin(), twin.find(before));
        terms.forget_before(before);
      } else {
        // A newer leader's entries may take the place of the last ones, but not of the oldest.
        Index next = twin.rbegin()->first + 1;
        if (random.below(4) == 0) {
          ++term.value;
          next = next - random.below(next - (twin.begin()->first + 1) + 1);
        }
        twin.erase(twin.lower_bound(next), twin.end());
        std::vector<raft::Entry> entries(random.below(5));
        for (raft::Entry& entry : entries) {
          if (random.below(6) == 0) ++term.value;
          entry.index = next;
          entry.term = term;
          twin[next] = term;
          ++next;
        }
        // One that comes to nothing is another's again.
        if (entries.empty()) term = twin.rbegin()->second;
        terms.note(entries);
      }
      ASSERT_LE(terms.first(), twin.begin()->first);
      for (const auto& [index, expected] : twin) ASSERT_EQ(terms.at(index), expected);
    }
  });
}

}  // namespace
}  // namespace keelson::node
