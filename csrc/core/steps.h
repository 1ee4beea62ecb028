// Work that is done a step at a time.
#pragma once

#include <cstddef>

#include "executor.h"

namespace lf {

// Cuts a function into steps: each of its calls does the one that is due, so that whoever calls it can stop in between.
//
//   bool layer(Steps& steps) {
//     steps.begin();
//     if (steps.starts()) prepare();             // what belongs to the step behind it
//     steps.run(executor, linear, input, call);  // a product, in as many steps as it is large
//     if (steps.due()) attend();                 // one step
//     return steps.more();                       // false when all are done; the next call begins anew
//   }
//
// Which steps there are must not change before all of them are done.
class Steps {
 public:
  void restart() noexcept { current_ = part_ = 0; }
  bool at_start() const noexcept { return current_ == 0 && part_ == 0; }

  void begin() noexcept {
    seen_ = 0;
    stays_ = false;
  }
  bool starts() const noexcept { return seen_ == current_ && part_ == 0; }
  bool due() noexcept { return seen_++ == current_; }
  bool more() noexcept {
    if (!stays_) ++current_;
    if (current_ < seen_) return true;
    current_ = 0;
    return false;
  }

  // Linear, Conv, UpsampleConv: product.parts(executor, in), and product.run of one of them.
  template <class Product, class Input, class Call>
  void run(const Executor& executor, const Product& product, const Input& in, Call call) noexcept {
    if (!due()) return;
    call.parts = product.parts(executor, in);
    call.part = part_;
    product.run(executor, in, call);
    part_ = (part_ + 1) % call.parts;
    stays_ = part_ != 0;
  }

 private:
  std::size_t current_ = 0, part_ = 0;  // the step that is due, and of its product
  std::size_t seen_ = 0;
  bool stays_ = false;
};

}  // namespace lf
