-- Typing in Neovim until ghost text comes, taking it by the plugin's key, and typing on; the screen is watched meanwhile.
-- Run by test_neovim_use.py as `nvim --embed -c "luafile typing.lua"`.

package.path = vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2)) .. '/?.lua;' .. package.path
local stage = require('stage')

local bufnr ---@type integer
local STEP_MS, LIMIT_MS = 20, 20000

--- Goes on once something holds, without keeping the keys that were typed from being read.
---@param holds fun(): any
---@param go_on fun()
local function when(holds, go_on)
  local deadline = vim.uv.now() + LIMIT_MS
  local function look()
    if holds() then
      go_on()
    elseif vim.uv.now() > deadline then
      vim.rpcnotify(0, 'picture', 'it did not come: ' .. stage.text(bufnr) .. vim.inspect(stage.notices))
    else
      vim.defer_fn(look, STEP_MS)
    end
  end
  look()
end

---@return boolean
local function ghost()
  local namespace = vim.api.nvim_get_namespaces()['nvim.lsp.inline_completion']
  return namespace ~= nil and #vim.api.nvim_buf_get_extmarks(bufnr, namespace, 0, -1, {}) > 0
end

vim.schedule(function()
  stage.load('stdio', { settings = { inline = { model = 'custom:free' } } })
  vim.cmd.edit(stage.path)
  bufnr = vim.api.nvim_get_current_buf()
  vim.cmd('setlocal laststatus=0 noautoindent indentexpr=')
  when(function()
    return require('beast.client').get(bufnr)
  end, function()
    vim.api.nvim_input('<Esc>ggdGidef sub(a, b):<CR>')
    when(ghost, function()
      vim.api.nvim_input('<M-l>')
      when(function()
        return stage.text(bufnr):find('return a + b', 1, true)
      end, function()
        vim.api.nvim_input('<CR># typed on<Esc>')
        when(function()
          return stage.text(bufnr):find('typed on', 1, true) and vim.api.nvim_get_mode().mode == 'n'
        end, function()
          vim.cmd.redraw()
          vim.rpcnotify(0, 'picture', '')
        end)
      end)
    end)
  end)
end)
