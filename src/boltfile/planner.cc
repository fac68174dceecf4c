#include "boltfile/planner.h"

#include <bit>
#include <span>

#include "base/check.h"
#include "base/text.h"
#include "boltfile/tree_builder.h"

namespace keelson::boltfile {
namespace {

struct Size {
  uint64_t bytes = 0;
  uint64_t size() const { return bytes; }
};

// Counts the pages that a writer would write.
class CountingOut {
 public:
  using Key = Size;
  using Value = Size;
  using OwnedKey = Size;
  class Leaf {
   public:
    void add(uint32_t, Key key, Value) {
      if (empty_) first_ = key;
      empty_ = false;
    }
    Key first_key() const { return first_; }
    void clear() { empty_ = true; }

   private:
    Size first_;
    bool empty_ = true;
  };
  using Child = TreeBuilder<CountingOut>::Child;

  explicit CountingOut(const Layout& layout) : layout_(layout), next_(first_page(layout)) {}

  absl::Status leaf_page(const Leaf&, uint64_t bytes, PageId* page) { return take(bytes, page); }
  absl::Status branch_page(std::span<const Child>, uint64_t bytes, PageId* page) {
    return take(bytes, page);
  }
  template <typename Use>
  absl::Status with_bucket(PageId, Use&& use) {
    return use(Size{kBucketHead});
  }
  template <typename Use>
  absl::Status with_inline(const Leaf&, uint64_t bytes, Use&& use) {
    return use(Size{kBucketHead + bytes});
  }

  PageId next() const { return next_; }

 private:
  absl::Status take(uint64_t bytes, PageId* page) {
    *page = next_;
    next_.value += pages_for(bytes, layout_.page_size);
    return absl::OkStatus();
  }

  const Layout layout_;
  PageId next_;
};

}  // namespace

struct Planner::State {
  explicit State(const Layout& wanted)
      : layout(wanted), out(layout), buckets(&out, layout.page_size) {}

  const Layout layout;
  CountingOut out;
  BucketBuilder<CountingOut> buckets;
};

Planner::Planner(const Layout& layout) : state_(std::make_unique<State>(layout)) {
  CHECK(valid_layout(layout));
}

Planner::~Planner() = default;

absl::Status Planner::begin_bucket(uint64_t name_size) {
  if (absl::Status s = check_element(name_size, 0); !s.ok()) return s;
  if (state_->buckets.depth() + 1 >= kDeepestBucket) {
    return absl::InvalidArgumentError("boltfile: buckets within buckets, too deep");
  }
  state_->buckets.begin(Size{name_size});
  return absl::OkStatus();
}

absl::Status Planner::add(uint64_t key_size, uint64_t value_size) {
  CHECK(state_->buckets.depth() > 0);
  if (absl::Status s = check_element(key_size, value_size); !s.ok()) return s;
  return state_->buckets.add(Size{key_size}, Size{value_size});
}

absl::Status Planner::end_bucket() { return state_->buckets.end(); }

absl::StatusOr<Plan> Planner::finish() {
  absl::StatusOr<PageId> root = state_->buckets.finish();
  if (!root.ok()) return root.status();
  return Plan{state_->layout, *root, state_->out.next()};
}

bool valid_layout(const Layout& layout) {
  return std::has_single_bit(layout.page_size) && layout.page_size >= kSmallestPageWritten &&
         layout.page_size <= kLargestPage;
}

absl::Status check_element(uint64_t key_size, uint64_t value_size) {
  if (key_size == 0) return absl::InvalidArgumentError("boltfile: an empty key");
  if (key_size > kLongestKey) {
    return absl::InvalidArgumentError(cat("boltfile: a key of ", key_size, " bytes"));
  }
  if (value_size > kLongestValue) {
    return absl::InvalidArgumentError(cat("boltfile: a value of ", value_size, " bytes"));
  }
  return absl::OkStatus();
}

PageId first_page(const Layout& layout) { return PageId(layout.freelist ? 3 : 2); }

}  // namespace keelson::boltfile
