-- One action in Neovim, told as one JSON object: run by test_same_action.py as `nvim -l one_action.lua KIND`.

package.path = vim.fs.dirname(vim.fs.abspath(arg[0])) .. '/?.lua;' .. package.path
local stage = require('stage')

stage.main(function()
  stage.load('stdio')
  local bufnr = stage.open()
  local problem, result = stage.await('the action', function(done)
    local lines = require('beast.range').lines(bufnr, 1, 3)
    require('beast').action(arg[1], { range = lines, preview = true, on_done = done })
  end)
  stage.tell(arg[1], { text = result and result.text, cache = result and result.cache, problem = problem })
end)
