#include "boltfile/verify.h"

#include <optional>
#include <string_view>

#include "base/text.h"
#include "boltfile/freelist.h"

namespace keelson::boltfile {
namespace {

constexpr size_t kProblemsKept = 100;

class Checker {
 public:
  Checker(File& file, absl::FunctionRef<void(const Element&)> tell)
      : file_(file),
        tell_(tell),
        in_use_(file.meta().high_water.value),
        free_(file.meta().high_water.value) {}

  absl::StatusOr<Verdict> run() {
    verdict_.pages = file_.meta().high_water.value;
    mark(PageId(0), 2);
    note(mark_freelist(), file_.meta().freelist);
    ++verdict_.buckets;  // the root
    check_tree(file_.meta().root, {}, {}, 0, 0);
    if (!failure_.ok()) return failure_;
    settle();
    return std::move(verdict_);
  }

 private:
  using Key = std::optional<std::string_view>;

  void problem(PageId page, std::string text) {
    ++verdict_.problem_count;
    if (verdict_.problems.size() < kProblemsKept) {
      verdict_.problems.push_back({page, std::move(text)});
    }
  }
  // Damage is a problem; anything else ends the check.
  void note(const absl::Status& status, PageId page) {
    if (status.ok()) return;
    if (status.code() == absl::StatusCode::kDataLoss) {
      problem(page, std::string(message_of(status)));
    } else if (failure_.ok()) {
      failure_ = status;
    }
  }

  // False when one of them is in use already, or past the end.
  bool mark(PageId first, uint64_t count) {
    bool fresh = true;
    for (uint64_t id = first.value; id < first.value + count; ++id) {
      if (id >= in_use_.size()) return false;
      if (in_use_[id]) {
        problem(PageId(id), cat("boltfile: page ", id, ": is referred to more than once"));
        fresh = false;
      }
      in_use_[id] = true;
    }
    return fresh;
  }

  absl::Status mark_freelist() {
    absl::StatusOr<uint64_t> own = read_freelist(file_, [&](PageId id) {
      if (id < PageId(2) || id.value >= free_.size()) {
        problem(file_.meta().freelist, cat("boltfile: page ", file_.meta().freelist.value,
                                           ": calls page ", id.value, " free"));
      } else if (free_[id.value]) {
        problem(id, cat("boltfile: page ", id.value, ": is free twice"));
      } else {
        free_[id.value] = true;
      }
    });
    if (!own.ok()) return own.status();
    if (*own > 0) mark(file_.meta().freelist, *own);
    return absl::OkStatus();
  }

  // The tree below `page`, whose keys are at least `least` and below `bound`.
  void check_tree(PageId page, Key least, Key bound, size_t depth, size_t bucket_depth) {
    if (!failure_.ok()) return;
    if (depth == kDeepestTree) return note(damaged(page, "lies too deep"), page);
    absl::StatusOr<std::shared_ptr<const Node>> node = file_.pages().load(page);
    // What cannot be loaded may have a good head.
    absl::StatusOr<uint64_t> pages = node.ok() ? (*node)->overflow() + uint64_t{1} : pages_of(page);
    if (!pages.ok()) return note(pages.status(), page);
    if (!mark(page, *pages)) return;
    if (free_[page.value]) problem(page, cat("boltfile: page ", page.value, ": in use and free"));
    if (!node.ok()) return note(node.status(), page);
    check_bounds(**node, least, bound);
    if ((*node)->leaf()) return check_leaf(**node, bucket_depth);
    if ((*node)->count() == 0) return note(damaged(page, "a branch without children"), page);
    file_.pages().expect(**node);
    for (size_t i = 0; i < (*node)->count(); ++i) {
      const Key next = i + 1 < (*node)->count() ? Key((*node)->key(i + 1)) : bound;
      check_tree((*node)->child(i), (*node)->key(i), next, depth + 1, bucket_depth);
    }
  }

  absl::StatusOr<uint64_t> pages_of(PageId page) {
    absl::StatusOr<PageHead> head = file_.pages().head(page);
    if (!head.ok()) return head.status();
    return uint64_t{head->overflow} + 1;
  }

  void check_bounds(const Node& node, const Key& least, const Key& bound) {
    if (node.count() == 0) return;
    const bool above = !least || node.key(0) >= *least;
    const bool below = !bound || node.key(node.count() - 1) < *bound;
    if (!above || !below) {
      note(damaged(node.page(), "its keys are not those that its parent says"), node.page());
    }
  }

  void check_leaf(const Node& node, size_t bucket_depth) {
    for (size_t i = 0; i < node.count(); ++i) {
      tell_({.depth = bucket_depth,
             .bucket = node.is_bucket(i),
             .key = node.key(i),
             .value = node.value(i)});
      if (!node.is_bucket(i)) {
        ++verdict_.elements;
        continue;
      }
      ++verdict_.buckets;
      absl::StatusOr<Bucket> bucket = file_.bucket_of(node, i, bucket_depth);
      if (!bucket.ok()) {
        note(bucket.status(), node.page());
      } else if (bucket->root() != PageId(0)) {
        check_tree(bucket->root(), {}, {}, 0, bucket_depth + 1);
      } else {
        check_leaf(bucket->inline_node(), bucket_depth + 1);
      }
    }
  }

  // Counts, and finds the pages that are neither in use nor free.
  void settle() {
    const bool listed = file_.meta().freelist != kNoFreelist;
    for (uint64_t id = 0; id < verdict_.pages; ++id) {
      if (in_use_[id]) {
        ++verdict_.in_use;
      } else if (free_[id] || !listed) {
        ++verdict_.free;
      } else {
        problem(PageId(id), cat("boltfile: page ", id, ": neither in use nor free"));
      }
    }
  }

  File& file_;
  const absl::FunctionRef<void(const Element&)> tell_;
  std::vector<bool> in_use_;  // by page, below the high-water mark
  std::vector<bool> free_;
  Verdict verdict_;
  absl::Status failure_;
};

}  // namespace

absl::Status Verdict::status() const {
  if (ok()) return absl::OkStatus();
  std::string text = problems.front().text;
  if (problem_count > 1) text += cat(" (and ", problem_count - 1, " more problems)");
  return absl::DataLossError(text);
}

absl::StatusOr<Verdict> verify(File& file, absl::FunctionRef<void(const Element&)> tell) {
  return Checker(file, tell).run();
}

absl::StatusOr<Verdict> verify(File& file) {
  return verify(file, [](const Element&) {});
}

}  // namespace keelson::boltfile
