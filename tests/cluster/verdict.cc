#include "tests/cluster/verdict.h"

#include <algorithm>
#include <iterator>
#include <map>

#include "base/text.h"

namespace keelson::cluster {
namespace {

using Wrongs = std::vector<std::string>;

void look_at_history(const Seen& seen, Wrongs* wrongs) {
  for (size_t i = 1; i < seen.history.size(); ++i) {
    if (seen.history[i].revision > seen.history[i - 1].revision) continue;
    wrongs->push_back(cat("the history has ", seen.history[i].revision, " behind ",
                          seen.history[i - 1].revision));
  }
}

void look_at_writes(const Seen& seen, Wrongs* wrongs) {
  std::map<int64_t, const Operation*> acknowledged;
  for (const Operation& done : seen.done) {
    if (!done.write || acknowledged.emplace(done.revision, &done).second) continue;
    wrongs->push_back(cat("two writes were acknowledged at ", done.revision));
  }
  std::set<std::string> values;
  for (const Event& event : seen.history) {
    if (!values.insert(event.value).second) wrongs->push_back(cat("written twice: ", event.value));
    auto known = acknowledged.find(event.revision);
    if (known == acknowledged.end()) {
      if (seen.doubtful.contains(event.value)) continue;
      wrongs->push_back(cat("nobody wrote ", event.value, " at ", event.revision));
      continue;
    }
    if (known->second->key != event.key || known->second->value != event.value) {
      wrongs->push_back(cat("another write than was acknowledged at ", event.revision));
    }
    acknowledged.erase(known);
  }
  if (acknowledged.empty()) return;
  wrongs->push_back(cat(acknowledged.size(), " acknowledged writes are gone, the first at ",
                        acknowledged.begin()->first));
}

void look_at_order(const Seen& seen, Wrongs* wrongs) {
  std::vector<const Operation*> began, ended;
  for (const Operation& done : seen.done) began.push_back(&done);
  ended = began;
  std::sort(began.begin(), began.end(),
            [](const Operation* a, const Operation* b) { return a->began < b->began; });
  std::sort(ended.begin(), ended.end(),
            [](const Operation* a, const Operation* b) { return a->ended < b->ended; });
  int64_t highest = 0;  // of those that had ended
  size_t over = 0;
  for (const Operation* operation : began) {
    for (; over < ended.size() && ended[over]->ended < operation->began; ++over) {
      highest = std::max(highest, ended[over]->revision);
    }
    const bool later =
        operation->write ? operation->revision > highest : operation->revision >= highest;
    if (later) continue;
    wrongs->push_back(cat(operation->write ? "a write" : "a read", " at revision ",
                          operation->revision, " began after ", highest, " was known"));
  }
}

void look_at_reads(const Seen& seen, Wrongs* wrongs) {
  std::map<std::string, std::map<int64_t, std::string>> values;
  for (const Event& event : seen.history) values[event.key][event.revision] = event.value;
  for (const Operation& done : seen.done) {
    if (done.write) continue;
    const std::map<int64_t, std::string>& of_key = values[done.key];
    auto next = of_key.upper_bound(done.revision);
    const std::string wanted = next == of_key.begin() ? "" : std::prev(next)->second;
    if (done.value == wanted) continue;
    wrongs->push_back(cat("a read of ", done.key, " at ", done.revision, " showed '", done.value,
                          "', not '", wanted, "'"));
  }
}

}  // namespace

std::vector<std::string> wrongs_of(const Seen& seen) {
  Wrongs wrongs;
  look_at_history(seen, &wrongs);
  look_at_writes(seen, &wrongs);
  look_at_order(seen, &wrongs);
  look_at_reads(seen, &wrongs);
  return wrongs;
}

}  // namespace keelson::cluster
