#include "boltfile/writer.h"

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/text.h"
#include "boltfile/tree_builder.h"

namespace keelson::boltfile {
namespace {

constexpr size_t kPiece = 256 << 10;
// Of the copy that meta page 0 holds; page 1 has the one before, as in a copy that bbolt makes.
constexpr uint64_t kTransaction = 2;

// The two pages that a database begins with.
std::string meta_pages(const Plan& plan) {
  std::string pages(2 * size_t{plan.layout.page_size}, '\0');
  for (uint64_t i = 0; i < 2; ++i) {
    char* page = pages.data() + i * plan.layout.page_size;
    store_page_head(page, {.id = PageId(i), .kind = kMetaPage});
    store_meta(page + kPageHead, {.page_size = plan.layout.page_size,
                                  .root = plan.root,
                                  .freelist = plan.layout.freelist ? PageId(2) : kNoFreelist,
                                  .high_water = plan.high_water,
                                  .transaction = kTransaction - i});
  }
  return pages;
}

// Lays out pages and hands them to the sink in larger pieces.
class WritingOut {
 public:
  using Key = std::string_view;
  using Value = std::string_view;
  using OwnedKey = std::string;

  class Leaf {
   public:
    void add(uint32_t flags, Key key, Value value) {
      elements_.push_back(
          {flags, static_cast<uint32_t>(key.size()), static_cast<uint32_t>(value.size())});
      data_.append(key);
      data_.append(value);
    }
    Key first_key() const { return Key(data_).substr(0, elements_[0].key_size); }
    void clear() {
      elements_.clear();
      data_.clear();
    }
    void append_to(std::string* out, PageId page, uint32_t overflow) const {
      append_page_head(out, page, kLeafPage, elements_.size(), overflow);
      const size_t at = out->size();
      out->resize(at + elements_.size() * kElementHead);
      uint64_t offset = elements_.size() * kElementHead;
      for (size_t i = 0; i < elements_.size(); ++i, offset -= kElementHead) {
        const Element& e = elements_[i];
        store_leaf_element(out->data() + at + i * kElementHead,
                           {.flags = e.flags,
                            .offset = static_cast<uint32_t>(offset),
                            .key_size = e.key_size,
                            .value_size = e.value_size});
        offset += uint64_t{e.key_size} + e.value_size;
      }
      out->append(data_);
    }

   private:
    struct Element {
      uint32_t flags, key_size, value_size;
    };
    std::vector<Element> elements_;
    std::string data_;
  };
  using Child = TreeBuilder<WritingOut>::Child;

  WritingOut(const Layout& layout, std::optional<PageId> end, Sink* sink)
      : page_size_(layout.page_size), end_(end), sink_(sink), next_(first_page(layout)) {}

  // What comes before the first page.
  void begin(std::string metas, bool freelist) {
    piece_ = std::move(metas);
    if (!freelist) return;
    append_page_head(&piece_, PageId(2), kFreelistPage, 0, 0);
    piece_.resize(3 * size_t{page_size_});
  }

  absl::Status leaf_page(const Leaf& leaf, uint64_t bytes, PageId* page) {
    const uint32_t overflow = overflow_of(bytes);
    if (absl::Status s = take(overflow, page); !s.ok()) return s;
    const size_t at = piece_.size();
    leaf.append_to(&piece_, *page, overflow);
    CHECK(piece_.size() - at == bytes);
    return pad(at, overflow);
  }

  absl::Status branch_page(std::span<const Child> children, uint64_t bytes, PageId* page) {
    const uint32_t overflow = overflow_of(bytes);
    if (absl::Status s = take(overflow, page); !s.ok()) return s;
    const size_t at = piece_.size();
    append_page_head(&piece_, *page, kBranchPage, children.size(), overflow);
    piece_.resize(at + kPageHead + children.size() * kElementHead);
    for (size_t i = 0; i < children.size(); ++i) {
      const size_t head = at + kPageHead + i * kElementHead;
      store_branch_element(piece_.data() + head,
                           {.offset = static_cast<uint32_t>(piece_.size() - head),
                            .key_size = static_cast<uint32_t>(children[i].key.size()),
                            .child = children[i].page});
      piece_.append(children[i].key);
    }
    CHECK(piece_.size() - at == bytes);
    return pad(at, overflow);
  }

  template <typename Use>
  absl::Status with_bucket(PageId root, Use&& use) {
    char head[kBucketHead];
    store_bucket_head(head, {.root = root});
    return use(std::string_view(head, sizeof head));
  }

  template <typename Use>
  absl::Status with_inline(const Leaf& leaf, uint64_t bytes, Use&& use) {
    std::string value(kBucketHead, '\0');
    leaf.append_to(&value, PageId(0), 0);
    CHECK(value.size() == kBucketHead + bytes);
    return use(std::string_view(value));
  }

  absl::Status flush() {
    absl::Status s = sink_->write(piece_);
    piece_.clear();
    return s;
  }
  PageId next() const { return next_; }

 private:
  static void append_page_head(std::string* out, PageId page, PageKind kind, size_t count,
                               uint32_t overflow) {
    char head[kPageHead];
    store_page_head(head, {page, kind, static_cast<uint16_t>(count), overflow});
    out->append(head, sizeof head);
  }
  uint32_t overflow_of(uint64_t bytes) const {
    return static_cast<uint32_t>(pages_for(bytes, page_size_) - 1);
  }
  absl::Status take(uint32_t overflow, PageId* page) {
    *page = next_;
    next_.value += uint64_t{overflow} + 1;
    if (!end_ || next_ <= *end_) return absl::OkStatus();
    return absl::FailedPreconditionError("boltfile: there is more than was planned");
  }
  absl::Status pad(size_t at, uint32_t overflow) {
    piece_.resize(at + (size_t{overflow} + 1) * page_size_);
    return piece_.size() < kPiece ? absl::OkStatus() : flush();
  }

  const uint32_t page_size_;
  const std::optional<PageId> end_;  // next_ <= *end_ as long as nothing failed
  Sink* const sink_;
  PageId next_;
  std::string piece_;  // whole pages that have not gone yet
};

}  // namespace

struct Writer::State {
  State(const Layout& wanted, std::optional<Plan> planned, Sink* to, SeekableSink* back)
      : layout(wanted),
        plan(planned),
        seekable(back),
        out(layout, plan ? std::optional(plan->high_water) : std::nullopt, to),
        buckets(&out, layout.page_size) {
    CHECK(valid_layout(layout));
    out.begin(plan ? meta_pages(*plan) : std::string(2 * size_t{layout.page_size}, '\0'),
              layout.freelist);
  }

  // `name` is next in the bucket that is open.
  absl::Status ascend(std::string_view name) {
    std::string& last = last_names.back();
    if (!last.empty() && name <= last) {
      return absl::InvalidArgumentError("boltfile: a key that is not above the one before");
    }
    last.assign(name);
    return absl::OkStatus();
  }

  const Layout layout;
  const std::optional<Plan> plan;
  SeekableSink* const seekable;  // null: there is a plan
  WritingOut out;
  BucketBuilder<WritingOut> buckets;
  std::vector<std::string> last_names{{}};  // of each open bucket; depth() + 1 of them
  absl::Status status;
};

Writer::Writer(const Plan& plan, Sink* sink)
    : state_(std::make_unique<State>(plan.layout, plan, sink, nullptr)) {}

Writer::Writer(const Layout& layout, SeekableSink* sink)
    : state_(std::make_unique<State>(layout, std::nullopt, sink, sink)) {}

Writer::~Writer() = default;

absl::Status Writer::keep(absl::Status status) {
  if (state_->status.ok()) state_->status = std::move(status);
  return state_->status;
}

absl::Status Writer::begin_bucket(std::string_view name) {
  if (!state_->status.ok()) return state_->status;
  if (absl::Status s = check_element(name.size(), 0); !s.ok()) return keep(s);
  if (state_->buckets.depth() + 1 >= kDeepestBucket) {
    return keep(absl::InvalidArgumentError("boltfile: buckets within buckets, too deep"));
  }
  if (absl::Status s = state_->ascend(name); !s.ok()) return keep(s);
  state_->buckets.begin(name);
  state_->last_names.emplace_back();
  return absl::OkStatus();
}

absl::Status Writer::add(std::string_view key, std::string_view value) {
  CHECK(state_->buckets.depth() > 0);
  if (!state_->status.ok()) return state_->status;
  if (absl::Status s = check_element(key.size(), value.size()); !s.ok()) return keep(s);
  if (absl::Status s = state_->ascend(key); !s.ok()) return keep(s);
  absl::Status s = state_->buckets.add(key, value);
  return s.ok() ? s : keep(std::move(s));
}

absl::Status Writer::end_bucket() {
  if (!state_->status.ok()) return state_->status;
  state_->last_names.pop_back();
  absl::Status s = state_->buckets.end();
  return s.ok() ? s : keep(std::move(s));
}

absl::Status Writer::finish() {
  if (!state_->status.ok()) return state_->status;
  absl::StatusOr<PageId> root = state_->buckets.finish();
  if (!root.ok()) return keep(root.status());
  const Plan written{state_->layout, *root, state_->out.next()};
  if (state_->plan && !(written == *state_->plan)) {
    return keep(absl::FailedPreconditionError("boltfile: there is less than was planned"));
  }
  if (absl::Status s = state_->out.flush(); !s.ok()) return keep(std::move(s));
  if (state_->plan) return absl::OkStatus();
  return keep(state_->seekable->overwrite(0, meta_pages(written)));
}

}  // namespace keelson::boltfile
